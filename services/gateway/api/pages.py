"""Web pages: the dashboard and the API documentation. No page loads anything from another site."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from services.gateway.http.principal import INSTALLATION_PUBLIC
from services.gateway.http.responses import json_response
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
from shared import VERSION

FILES = Path(__file__).parents[1] / "static"
# The page's pictures are within its style sheet.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML = "text/html; charset=utf-8"


class Welcome(Struct, frozen=True):
    """A welcome."""

    message: str


class PageRoutes:
    """The dashboard, /docs and /openapi.json; `description` gives the last."""

    def __init__(self, description: Callable[[], bytes]) -> None:
        self._description = description
        self._dashboard = _load_page("app/index.html")
        self._docs = _load_page("docs.html")

    @route(
        "GET",
        "/",
        id="root_get_pages",
        tag="pages",
        access=INSTALLATION_PUBLIC,
        summary="What is here",
        responses={200: ResponseSpec(Welcome, "To programs; browsers get the dashboard")},
        limited=False,
    )
    async def _show_root(self, request: HttpRequest) -> HttpResponse:
        if "text/html" in (request.header(b"accept") or ""):
            found = self._dashboard
        else:
            found = json_response(
                Welcome(f"Comanda {VERSION}: orders, stock, scores and tasks. How to use it is at /docs")
            )
        return found._replace(headers=[*found.headers, (b"vary", b"accept")])

    @route(
        "GET",
        "/docs",
        id="show_docs_get_pages",
        tag="pages",
        access=INSTALLATION_PUBLIC,
        summary="The API in a browser",
        responses={200: ResponseSpec(str, "The page", _HTML)},
        listed=False,
    )
    async def _show_docs(self, _: HttpRequest) -> HttpResponse:
        return self._docs._replace(headers=list(self._docs.headers))

    @route(
        "GET",
        "/openapi.json",
        id="openapi_get_pages",
        tag="pages",
        access=INSTALLATION_PUBLIC,
        summary="The API for programs",
        responses={200: ResponseSpec(dict, "Its description")},
        listed=False,
    )
    async def _show_description(self, _: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [(b"content-type", b"application/json")], self._description())


def _load_page(name: str) -> HttpResponse:
    """Returns the response for an HTML file."""
    headers = [(b"content-type", _HTML.encode()), (b"content-security-policy", _POLICY)]
    return HttpResponse(200, headers, (FILES / name).read_bytes())
