"""The admission of requests: authentication, then the page that sends it, then the tenant's rate limit."""

from services.gateway.http.principal import Principal
from services.gateway.http.routes import HttpRequest, Route
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.cross_origin import CrossOriginPolicy
from services.gateway.identity.tenant_limits import TenantRateLimiter


class RequestAdmission:
    """Admits requests to their routes."""

    def __init__(
        self, authenticator: Authenticator, cross_origin: CrossOriginPolicy, limiter: TenantRateLimiter
    ) -> None:
        self._authenticator = authenticator
        self._cross_origin = cross_origin
        self._limiter = limiter

    async def admit(self, request: HttpRequest, route: Route) -> Principal:
        """Returns the principal of a request.

        Raises the errors of `Authenticator.authenticate`, Forbidden for a page of an origin that is not the tenant's,
        and RateLimited.
        """
        principal = await self._authenticator.authenticate(request, route)
        await self._cross_origin.check(request, route, principal)
        await self._limiter.check(request, route, principal)
        return principal
