"""Routes: declared on the methods that serve them, and the requests and responses that those methods handle.

    class GreetingRoutes:
        @route("GET", "/greetings/{id}", id="show_greeting", access=VIEWERS, tag="greetings",
               summary="Look at a greeting", responses={200: ResponseSpec(Greeting, "The greeting")},
               errors=("not_found",))
        async def _show_greeting(self, request: HttpRequest) -> HttpResponse:
            return json_response(await self._greetings.load(request.id))

`collect_routes` finds them. The router serves what is declared, and `openapi.py` describes the API from the same.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from services.gateway.http.asgi import Scope
from services.gateway.http.principal import Principal, RouteAccess
from shared.net.addresses import plain_address

UPSTREAM_ERRORS = ("deadline_exceeded", "db_error")
"""Codes of errors in which every route can end that asks another server."""
PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ATTRIBUTE = "__routes__"

_UNKNOWN = Principal()

H = TypeVar("H", bound=Callable[..., Any])


class HttpResponse(NamedTuple):
    """A response; a body that is a stream is sent piece by piece."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncIterator[bytes]


class HttpRequest:
    """A request as its route sees it: `query`, `headers` and `body` are of the types that the route declares."""

    __slots__ = ("_scope", "body", "headers", "path_values", "principal", "query", "request_id")

    def __init__(self, scope: Scope, request_id: str, path_values: Mapping[str, str]) -> None:
        self._scope = scope
        self.request_id = request_id
        self.path_values = path_values
        """Values of the placeholders in the path, such as {id}."""
        self.principal: Principal = _UNKNOWN
        """The authenticated sender; the router sets it before the handler runs."""
        self.query: Any = None
        self.headers: Any = None
        self.body: Any = None

    @property
    def id(self) -> str:
        """Value of the placeholder {id}."""
        return self.path_values["id"]

    @property
    def address(self) -> str:
        """Address of the client; behind a trusted proxy, the one that the proxy names."""
        client = self._scope.get("client")
        return "unknown" if client is None else plain_address(client[0])

    @property
    def method(self) -> str:
        """The method, in capitals."""
        return str(self._scope["method"])

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """All headers in the order in which they were sent, with names in lower case."""
        headers: list[tuple[bytes, bytes]] = self._scope["headers"]
        return headers

    def add_response_headers(self, *headers: tuple[bytes, bytes]) -> None:
        """Adds headers to the response, also if it is an error."""
        self._scope["response_headers"].extend(headers)

    def header(self, name: bytes) -> str | None:
        """Returns a header by its name in lower case."""
        for found, value in self._scope["headers"]:
            if found == name:
                return str(value, "latin-1")
        return None


class ResponseSpec(NamedTuple):
    """Description of a response: the type of its body, None without one, and when it is given."""

    kind: Any
    description: str
    media_type: str = "application/json"


class Route(Struct, frozen=True, kw_only=True):
    """One method of one path, and everything that serving and describing it takes."""

    method: str
    path: str
    handler: Callable[[HttpRequest], Awaitable[HttpResponse]]
    id: str
    """The `operationId` of the API description. Generated clients are named by it, so it outlives renamed functions."""
    access: RouteAccess
    """The principals that it admits."""
    tag: str
    summary: str
    description: str = ""
    query: type[Struct] | None = None
    headers: type[Struct] | None = None
    body: Any = None
    example: Any = None
    """A valid body."""
    upload: tuple[str, ...] = ()
    """Media types of a body that is read as a stream of bytes of any length, instead of `body`."""
    responses: Mapping[int, ResponseSpec]
    errors: tuple[str, ...] = ()
    """Codes of the errors in which it can end, beside those that every route has."""
    limited: bool = True
    """Whether rate limits apply."""
    limit_group: str = ""
    """Group of operations with which it shares a tenant's limit: `read` or `write` by its method if left out."""
    listed: bool = True
    """Whether the API description shows it."""

    def __post_init__(self) -> None:
        if not self.limit_group:
            msgspec.structs.force_setattr(self, "limit_group", "read" if self.method == "GET" else "write")


def route(method: str, path: str, **options: Any) -> Callable[[H], H]:
    """Declares the decorated method as the handler of a route; `options` are the other members of `Route`.

    A method may serve several routes: the decorators then stand above one another.
    """

    def declare(function: H) -> H:
        declared = Route(method=method, path=path, handler=function, **options)
        setattr(function, _ATTRIBUTE, [declared, *getattr(function, _ATTRIBUTE, ())])
        return function

    return declare


def collect_routes(owner: object) -> list[Route]:
    """Returns the routes that are declared on methods of an object, in the order of the source, bound to it."""
    return [
        replace(declared, handler=getattr(owner, name))
        for name, function in vars(type(owner)).items()
        for declared in getattr(function, _ATTRIBUTE, ())
    ]


def placeholders(path: str) -> list[str]:
    """Returns the names of the placeholders of a path: `id` for /tasks/{id}."""
    return PLACEHOLDER.findall(path)
