"""Pages of other origins: each tenant names those that may call the API for it (CORS, the Fetch standard).

A preflight has no credentials, so it is answered for the origins of all tenants; the request itself is refused unless
its origin is one of its tenant's. Cookies are never accepted from other origins, and `*` stands for none.
"""

from collections.abc import Collection

from services.gateway.http.asgi import App, Receive, Scope, Send
from services.gateway.http.origins import check_origin, find_foreign_origin, refuse_page
from services.gateway.http.principal import Principal
from services.gateway.http.routes import HttpRequest, Route
from services.gateway.identity.tenants import TenantDirectory

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Cart-Token, "
    b"X-Request-ID, X-Tenant-Id"
)
_EXPOSED = b"ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Cart-Token, X-Request-ID"
_PREFLIGHT_SECONDS = b"600"
_VARY = (b"vary", b"Origin")


class CrossOriginPolicy:
    """Admits pages of the origins of each tenant."""

    def __init__(self, tenants: TenantDirectory) -> None:
        self._tenants = tenants

    def wrap(self, app: App) -> App:
        """Returns the application with answers to preflights."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] != "OPTIONS" or not await self._answer_preflight(scope, send):
                await app(scope, receive, send)

        return serve

    async def check(self, request: HttpRequest, route: Route, principal: Principal) -> None:
        """Adds the headers for a page of another origin of the principal's tenant. Raises Forbidden for other pages.

        For a sign-in the origin may be any tenant's: `Authenticator.resolve_tenant` checks it with the tenant that the
        body names.
        """
        of_any_tenant = route.access.public and route.access.installation
        if of_any_tenant and request.method in _SAFE_METHODS:
            return
        allowed: Collection[str] = ()
        origin = find_foreign_origin(request.raw_headers)
        if origin is not None:
            request.add_response_headers(_VARY)
            await self._tenants.refresh_if_possible()
            allowed = self._tenants.origins if of_any_tenant else self._tenants.find_origins(principal.tenant)
            if origin not in allowed or (principal.session is not None and not request.header(b"authorization")):
                raise refuse_page()
            request.add_response_headers(
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", _EXPOSED),
            )
        if request.method not in _SAFE_METHODS:
            check_origin(request.raw_headers, allowed)

    async def _answer_preflight(self, scope: Scope, send: Send) -> bool:
        """Whether the request was the preflight of a page of any tenant, and was answered."""
        found = dict(scope["headers"])
        origin = found.get(b"origin")
        if origin is None or b"access-control-request-method" not in found:
            return False
        scope["response_headers"].append(_VARY)
        text = origin.decode("latin-1")
        await self._tenants.refresh_if_possible()
        if text not in self._tenants.origins:
            return False
        headers = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _HEADERS),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True
