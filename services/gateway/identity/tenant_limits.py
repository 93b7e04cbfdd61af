"""Rate limits of tenants: a tenant at its limit costs the others nothing.

Operations of a kind share one limit. Sign-ins and registrations are counted for each address. The response headers
`RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import math
import time
from collections.abc import Mapping
from functools import lru_cache

from limits import RateLimitItem, parse

from services.gateway.http.principal import Principal
from services.gateway.http.routes import HttpRequest, Route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.middleware.rate_limits import NO_LIMIT, RequestCounter
from shared.domain.errors import RateLimited, StartupError
from shared.domain.tenants import MAIN
from shared.net.addresses import address_key

LOGIN = "login"
"""The group of sign-ins, and of passwords set by a link."""
REGISTER = "register"
"""The group of registrations and forgotten passwords, which may show or write to the addresses of others."""
_BY_ADDRESS = (LOGIN, REGISTER)
_HINT = "write it like read=500/second,write=50/second, or none"
_parse = lru_cache(maxsize=1000)(parse)


class TenantRateLimiter:
    """Limits the requests of each tenant by the group of their route. Raises StartupError.

    `limits` are the defaults (`read=500/second,…`, or `none`); a tenant's record may have others. The tenant `main`,
    which is the installation itself, only has those of its record, and those that are counted for each address.
    """

    def __init__(self, limits: str, counter: RequestCounter, tenants: TenantDirectory) -> None:
        self._defaults = parse_limits(limits)
        self._counter = counter
        self._tenants = tenants

    async def check(self, request: HttpRequest, route: Route, principal: Principal) -> None:
        """Counts a request, and adds the headers about its limit. Raises RateLimited beyond the limit."""
        if not route.limited or not self._defaults:
            return
        group, tenant = route.limit_group, principal.tenant
        limit = self._find_limit(tenant, group)
        if limit is None:
            return
        client = address_key(request.address) if group in _BY_ADDRESS else ""
        allowed = await self._counter.count(limit, tenant, group, client)
        stats = await self._counter.read_window(limit, tenant, group, client)
        seconds = max(math.ceil(stats.reset_time - time.time()), 1)
        remaining = stats.remaining if allowed else 0
        request.add_response_headers(
            (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (group.encode(), limit.amount, limit.get_expiry())),
            (b"ratelimit", b'"%s";r=%d;t=%d' % (group.encode(), remaining, seconds)),
        )
        if not allowed:
            who = client or f"the tenant {tenant}"
            raise RateLimited(
                f"{who} has made more than {limit.amount} requests of the kind {group} in {limit.get_expiry()} s",
                hint="wait; the limit is TENANT_LIMITS or a setting of the tenant",
                details={"retry_after_ms": seconds * 1000},
            )

    def _find_limit(self, tenant: str, group: str) -> RateLimitItem | None:
        self._tenants.refresh_soon()
        record = self._tenants.find(tenant)
        if record is not None and group in record.limits:
            return _parse(record.limits[group])
        return self._defaults.get(group) if tenant != MAIN or group in _BY_ADDRESS else None


def parse_limits(text: str) -> Mapping[str, RateLimitItem]:
    """Returns the limits in the setting TENANT_LIMITS by group. Raises StartupError."""
    if text == NO_LIMIT:
        return {}
    found: dict[str, RateLimitItem] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        group, _, limit = word.partition("=")
        try:
            found[group.strip()] = parse(limit)
        except ValueError as error:
            raise StartupError(f"TENANT_LIMITS: {word} is wrong: {error}", hint=_HINT) from None
    return found
