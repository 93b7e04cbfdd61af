"""The router: finds the route of a request, converts its parameters and body to types, and sends the response.

There are a few dozen paths: one dictionary and a few templates find them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

from clients.request_context import set_request_user
from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.bodies import BodyReader, check_media_type
from services.gateway.http.principal import Principal
from services.gateway.http.problems import MethodNotAllowed
from services.gateway.http.routes import PLACEHOLDER, HttpRequest, Route
from services.gateway.http.static_files import StaticFiles
from services.gateway.http.streaming import send_stream
from services.gateway.http.web_apps import WebApp
from shared.domain.errors import ErrorReason, InvalidParams, NotFound, Timeout, TooLarge
from shared.wire.strict_json import shorten_text, translate_error

_WITHOUT_BODY = {204, 304}


class _Template:
    """A path with places in it, and what can be done there."""

    def __init__(self, path: str) -> None:
        self.methods: dict[str, Route] = {}
        self._segments: list[tuple[bytes, str | None]] = []
        for segment in path.split("/"):
            place = PLACEHOLDER.fullmatch(segment)
            self._segments.append((segment.encode(), None if place is None else place[1]))

    def match(self, segments: Sequence[bytes]) -> dict[str, str] | None:
        """Returns the values of its placeholders, or None for another path. %2F stands for a slash in a value."""
        named: dict[str, str] = {}
        for segment, (fixed, name) in zip(segments, self._segments, strict=True):
            if name is None:
                if segment != fixed:
                    return None
                continue
            try:
                named[name] = unquote(segment.decode("ascii"), errors="strict")
            except ValueError:
                return None
            if not named[name]:
                return None
        return named


class Router:
    """The application behind the edge. `admit` is asked before a request is read; it raises what refuses it.

    `authenticate` then returns the principal of the request, or raises what refuses it on this route.

    Addresses that begin with the prefix of one of the `files` are served by that, and by nothing else.
    """

    def __init__(
        self,
        operations: Sequence[Route],
        admit: Callable[[Scope, Route], Awaitable[None]],
        authenticate: Callable[[HttpRequest, Route], Awaitable[Principal]],
        files: Sequence[StaticFiles | WebApp],
        *,
        max_body_bytes: int,
        max_orders: int,
    ) -> None:
        self._admit = admit
        self._authenticate = authenticate
        self._files = files
        self._prefixes = tuple(one.prefix for one in files)
        self._max_body_bytes = max_body_bytes
        self._bodies = BodyReader(max_orders=max_orders)
        self._header_names = {
            one.headers: _header_names_of(one.headers) for one in operations if one.headers is not None
        }
        self._fixed: dict[str, dict[str, Route]] = {}
        self._templates: dict[int, dict[str, _Template]] = {}
        """Paths with places in them, by the number of their segments."""
        for operation in operations:
            if PLACEHOLDER.search(operation.path):
                alike = self._templates.setdefault(operation.path.count("/") + 1, {})
                methods = alike.setdefault(operation.path, _Template(operation.path)).methods
            else:
                methods = self._fixed.setdefault(operation.path, {})
            methods[operation.method] = operation
            if operation.method == "GET":
                methods["HEAD"] = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Raises ComandaError where that is the answer."""
        path = scope["path"]
        if path.startswith(self._prefixes):
            await next(one for one in self._files if path.startswith(one.prefix))(scope, receive, send)
            return
        operation, named = self._find_route(scope["method"], path, scope["raw_path"])
        scope["route"] = operation.path
        await self._admit(scope, operation)
        request = scope["http_request"] = HttpRequest(scope, scope["request_id"], named)
        principal = request.principal = await self._authenticate(request, operation)
        if principal.kind != "anonymous":
            set_request_user(principal.name)
        if operation.query is not None:
            request.query = _convert_query(scope["query_string"], operation.query)
        if operation.headers is not None:
            names = self._header_names[operation.headers]
            sent = {names[name]: str(value, "latin-1") for name, value in scope["headers"] if name in names}
            request.headers = _convert_members(sent, operation.headers)
        if operation.upload:
            check_media_type(request.header(b"content-type"), operation.upload)
            # The server below holds it to a pace then, and not to a time.
            scope["upload"] = True
            request.body = _stream_body(receive)
        elif operation.body is not None:
            check_media_type(request.header(b"content-type"))
            length = request.header(b"content-length")
            request.body = self._bodies.read(await self._read_body(length, receive), operation.body)
        status, headers, body = await operation.handler(request)
        if not isinstance(body, bytes):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await send_stream(body, receive, send)
            return
        if status not in _WITHOUT_BODY:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _find_route(self, method: str, path: str, raw_path: bytes) -> tuple[Route, Mapping[str, str]]:
        """The operation, and what stands in the places of its path. Raises NotFound and MethodNotAllowed."""
        named: Mapping[str, str] = {}
        methods = self._fixed.get(path)
        if methods is None or method not in methods:
            segments = raw_path.split(b"/")
            for template in self._templates.get(len(segments), {}).values():
                if (methods is None or method in template.methods) and (found := template.match(segments)) is not None:
                    methods, named = template.methods, found
                    break
        if methods is None:
            raise NotFound("nothing is at this address", hint="/docs shows what there is")
        operation = methods.get(method)
        if operation is None:
            raise MethodNotAllowed(sorted(methods))
        return operation, named

    async def _read_body(self, length: str | None, receive: Receive) -> bytes:
        if length is not None and int(length) > self._max_body_bytes:
            raise self._too_large()
        message = await receive()
        if message["type"] == "http.request" and not message["more_body"]:
            body: bytes = message["body"]
            return body
        parts = bytearray(message.get("body", b""))
        while message.get("more_body"):
            message = await receive()
            parts += message.get("body", b"")
            if len(parts) > self._max_body_bytes:
                raise self._too_large()
        if message["type"] == "http.disconnect":
            raise Timeout("the body did not come to its end", hint="send it in one go")
        return bytes(parts)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self._max_body_bytes} bytes",
            hint="the limit is MAX_BODY_BYTES",
            reason=ErrorReason("too_large", max_bytes=self._max_body_bytes),
        )


async def _stream_body(receive: Receive) -> AsyncIterator[bytes]:
    """A body as it comes. Raises Timeout where it does not come to its end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Timeout("the body did not come to its end", hint="send it once more")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def _convert_query(query_string: bytes, kind: type[Struct]) -> Any:
    members: dict[str, str] = {}
    if query_string:
        try:
            pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError:
            raise InvalidParams("the query is not UTF-8", hint="percent-encode what is not ASCII") from None
        for name, value in pairs:
            if name in members:
                raise InvalidParams(f"{shorten_text(name)} stands twice in the query", field=shorten_text(name))
            members[name] = value
    return _convert_members(members, kind)


def _header_names_of(kind: type[Struct]) -> dict[bytes, str]:
    """The headers that a type reads."""
    return {field.encode_name.encode(): field.encode_name for field in msgspec.structs.fields(kind)}


def _convert_members(members: dict[str, str], kind: type[Struct]) -> Any:
    try:
        return msgspec.convert(members, kind, strict=False)
    except msgspec.ValidationError as error:
        raise translate_error(str(error), kind) from None
