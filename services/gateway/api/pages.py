"""Web pages: the start address and the API documentation. No page loads anything from another site."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from clients.persistence import PersistenceClient
from clients.shop.books import load_book_count
from services.gateway.http.principal import INSTALLATION_PUBLIC
from services.gateway.http.responses import json_response
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.http.web_apps import PAGE_POLICY
from services.gateway.identity.authenticator import Authenticator
from services.gateway.upstream.backend import Backend
from shared import VERSION
from shared.domain.errors import ComandaError, NotFound
from shared.domain.tenants import MAIN

FILES = Path(__file__).parents[1] / "static"
ADMIN: Final = "/admin/"
"""The dashboard."""
SHOP: Final = "/shop/"
_HTML = "text/html; charset=utf-8"
_DASHBOARD_ROLES = frozenset({"viewer", "operator", "admin"})


class Welcome(Struct, frozen=True):
    """A welcome."""

    message: str


class PageRoutes:
    """The start address, /docs and /openapi.json; `description` gives the last."""

    def __init__(
        self,
        description: Callable[[], bytes],
        persistence: Backend[PersistenceClient],
        authenticator: Authenticator,
    ) -> None:
        self._description = description
        self._records = persistence
        self._authenticator = authenticator
        self._docs = _load_page("docs.html")

    @route(
        "GET",
        "/",
        id="root_get_pages",
        tag="pages",
        access=INSTALLATION_PUBLIC,
        summary="What is here",
        description="Browsers are sent to the shop, if it has books and the visitor is no viewer, operator or "
        "administrator, and else to the dashboard.",
        responses={200: ResponseSpec(Welcome, "To programs"), 302: ResponseSpec(None, "To browsers")},
    )
    async def _show_root(self, request: HttpRequest) -> HttpResponse:
        vary = (b"vary", b"accept, cookie")
        if "text/html" in (request.header(b"accept") or ""):
            target = SHOP if await self._is_for_shop(request) else ADMIN
            return HttpResponse(302, [(b"location", target.encode()), vary], b"")
        found = json_response(Welcome(f"Comanda {VERSION}: orders, stock, scores and tasks. How to use it is at /docs"))
        return found._replace(headers=[*found.headers, vary])

    async def _is_for_shop(self, request: HttpRequest) -> bool:
        """Whether the visitor comes for the shop: one that has books, and no role in the dashboard."""
        principal = request.principal
        if not _DASHBOARD_ROLES.isdisjoint(principal.roles):
            return False
        try:
            tenant = principal.tenant if principal.user else await self._authenticator.resolve_tenant(request)
        except NotFound:
            # No tenant is named: it is that of the installation.
            tenant = MAIN
        try:
            return (await load_book_count(self._records.of(tenant).lists)).listed > 0
        except ComandaError:
            # The dashboard says which server is away.
            return False

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
    headers = [(b"content-type", _HTML.encode()), (b"content-security-policy", PAGE_POLICY)]
    return HttpResponse(200, headers, (FILES / name).read_bytes())
