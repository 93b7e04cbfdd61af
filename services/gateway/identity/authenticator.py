"""The authenticator: finds the tenant and the principal of each request, and checks that its route admits them.

The tenant is that of the credentials; without any, that of the host name or of the header X-Tenant-Id; with STAGE=dev
`main` where nothing is said. No request is for all tenants.
"""

import binascii
from base64 import urlsafe_b64decode
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Struct, structs

from services.gateway.http.origins import find_foreign_origin, refuse_page
from services.gateway.http.principal import ALL_ROLES, DEVELOPER, PUBLIC, Principal, RouteAccess, check_access
from services.gateway.http.routes import HttpRequest, Route
from services.gateway.identity.headers import IdentityHeaders, read_identity_headers, session_cookie_name
from services.gateway.identity.players import HINT, PlayerTokens
from services.gateway.identity.tenants import TenantDirectory
from services.settings import Stage
from shared.domain.errors import ComandaError, ErrorReason, Forbidden, NotFound, Unauthorized
from shared.domain.tenants import MAIN
from shared.net.addresses import is_own_host

API_KEY_PREFIX = "ck."
_MAX_TOKEN_CHARACTERS = 8192
_ANONYMOUS = Principal()


class Credentials(Protocol):
    """The accounts, sessions and API keys behind credentials. Each method raises Unauthorized for invalid ones."""

    async def authenticate_token(self, token: str) -> Principal:
        """Returns the principal of an access token."""
        ...

    async def authenticate_session(self, token: str) -> Principal:
        """Returns the principal of the token in a session cookie."""
        ...

    async def authenticate_key(self, token: str) -> Principal:
        """Returns the principal of an API key, which begins with API_KEY_PREFIX."""
        ...


class _UnverifiedClaims(Struct):
    """The claim that tells the access token of an account from the token of a player."""

    tenant: Any = UNSET


_decode_claims = msgspec.json.Decoder(_UnverifiedClaims).decode


class Authenticator:
    """Authenticates requests. With STAGE=dev, requests from this machine need no credentials.

    With `is_network_closed`, the network keeps others out, and every address counts as this machine in development.
    """

    def __init__(
        self,
        players: PlayerTokens,
        credentials: Credentials,
        tenants: TenantDirectory,
        *,
        stage: Stage,
        encrypted: bool,
        is_network_closed: bool,
    ) -> None:
        self._players = players
        self._credentials = credentials
        self._tenants = tenants
        self._is_development = stage == "dev"
        self._is_network_closed = is_network_closed
        self._cookie = session_cookie_name(encrypted=encrypted).encode()

    async def authenticate(self, request: HttpRequest, route: Route) -> Principal:
        """Returns the principal of a request.

        Raises BadRequest for headers that contradict each other in form, Unauthorized without valid credentials,
        Forbidden for a missing role or another tenant, and NotFound for an unknown tenant.
        """
        return await self._authenticate(request, route.access)

    async def identify(self, request: HttpRequest) -> Principal:
        """Returns the principal of a request for a page that is open to everybody, in the tenant of the visit.

        Raises BadRequest, Forbidden and NotFound as `authenticate` does.
        """
        return await self._authenticate(request, PUBLIC)

    async def is_still_admitted(self, request: HttpRequest, access: RouteAccess) -> bool:
        """Whether the credentials of a request that was admitted, such as an open stream, are valid now."""
        try:
            await self._authenticate(request, access)
        except (Unauthorized, Forbidden, NotFound):
            return False
        except ComandaError:
            # The store is away. That says nothing about the credentials.
            return True
        return True

    async def _authenticate(self, request: HttpRequest, access: RouteAccess) -> Principal:
        headers = read_identity_headers(request.raw_headers, self._cookie)
        said = await self._find_said_tenant(headers)
        if access.public:
            return await self._authenticate_public(headers, request, said, of_tenant=not access.installation)
        principal = await self._find_principal(headers, request)
        if principal.kind == "anonymous":
            check_access(principal, access)
        elif principal.kind == "developer":
            principal = await self._assign_tenant(principal, said)
        elif said is not None and said != principal.tenant:
            raise Unauthorized(
                "these credentials are not of this tenant",
                hint="sign in to this tenant",
                reason=ErrorReason("tenant_other"),
            )
        else:
            await self._check_tenant(principal.tenant)
        # Also a refusal names its user in the audit log.
        request.principal = principal
        check_access(principal, access)
        return principal

    async def resolve_tenant(self, request: HttpRequest, named: str | None = None) -> str:
        """Returns the tenant of a request without credentials, which its body or a token of its body may name too.

        Raises Forbidden if the request names different ones or is of a page of an origin that is not the tenant's, and
        NotFound for an unknown one.
        """
        said = await self._find_said_tenant(read_identity_headers(request.raw_headers, self._cookie))
        if named is not None and said not in (None, named):
            raise Forbidden(
                "the body names another tenant than the header or the host",
                field="tenant_id",
                reason=ErrorReason("tenant_other"),
            )
        tenant = (await self._assign_tenant(_ANONYMOUS, named or said)).tenant
        origin = find_foreign_origin(request.raw_headers)
        if origin is not None and origin not in self._tenants.find_origins(tenant):
            raise refuse_page()
        return tenant

    async def _authenticate_public(
        self, headers: IdentityHeaders, request: HttpRequest, said: str | None, *, of_tenant: bool
    ) -> Principal:
        """Returns the principal of a request for a public route, where invalid credentials count as none.

        A stale cookie must not keep anybody from signing in.
        """
        try:
            principal = await self._find_principal(headers, request)
        except Unauthorized:
            principal = _ANONYMOUS
        if principal.kind not in ("anonymous", "developer"):
            if said in (None, principal.tenant):
                return principal
            principal = _ANONYMOUS
        return await self._assign_tenant(principal, said) if of_tenant else principal

    async def _find_said_tenant(self, headers: IdentityHeaders) -> str | None:
        """Returns the tenant that the host name and X-Tenant-Id say. Raises Forbidden if they say different ones."""
        by_host: str | None = None
        if headers.host is not None and _may_be_tenant_host(headers.host):
            await self._tenants.refresh_if_possible()
            by_host = self._tenants.find_by_host(headers.host)
        if by_host is not None and headers.tenant not in (None, by_host):
            raise Forbidden(
                "X-Tenant-Id contradicts the host name",
                field="X-Tenant-Id",
                hint="leave the header out",
                reason=ErrorReason("tenant_other"),
            )
        return by_host or headers.tenant

    async def _find_principal(self, headers: IdentityHeaders, request: HttpRequest) -> Principal:
        if headers.authorization is not None:
            return await self._authenticate_bearer(headers.authorization, request)
        if headers.session is not None:
            return await self._credentials.authenticate_session(headers.session)
        return DEVELOPER if self._is_developer(request) else _ANONYMOUS

    async def _authenticate_bearer(self, header: str, request: HttpRequest) -> Principal:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        # A tab or a byte beyond ASCII is no part of any token.
        is_text = token.isascii() and token.isprintable()
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_CHARACTERS or not is_text:
            raise Unauthorized(
                "the header Authorization is not a bearer token",
                field="Authorization",
                hint=HINT,
                reason=ErrorReason("token_invalid"),
            )
        if token.startswith(API_KEY_PREFIX):
            return await self._credentials.authenticate_key(token)
        if _names_tenant(token):
            return await self._credentials.authenticate_token(token)
        player = self._players.verify(token)
        # A developer's program may send its player's token with every request.
        roles = ALL_ROLES if self._is_developer(request) else frozenset()
        return Principal(kind="player", player=player, roles=roles, name=f"player {player}")

    def _is_developer(self, request: HttpRequest) -> bool:
        return self._is_development and (self._is_network_closed or is_own_host(request.address))

    async def _assign_tenant(self, principal: Principal, said: str | None) -> Principal:
        """Returns a principal without credentials in the tenant that the request names. Raises NotFound."""
        if said is None:
            if not self._is_development:
                raise _unknown_tenant()
            return principal
        await self._check_tenant(said)
        return principal if said == principal.tenant else structs.replace(principal, tenant=said)

    async def _check_tenant(self, tenant: str) -> None:
        """Raises NotFound for an unknown and for an inactive tenant, with the same text."""
        # The tenant of the installation is always there.
        if tenant == MAIN:
            return
        await self._tenants.refresh()
        if self._tenants.find(tenant) is None:
            raise _unknown_tenant()


def _may_be_tenant_host(host: str) -> bool:
    """Whether a host can be a name of a tenant. Addresses are not looked up: probes must not wait for the store."""
    last = host.rpartition(".")[2]
    return "." in host and not host.startswith("[") and not last.isdigit()


def _names_tenant(token: str) -> bool:
    """Whether the unverified payload of a token has a claim `tenant`, as tokens of accounts do."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        payload = urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return _decode_claims(payload).tenant is not UNSET
    except (binascii.Error, ValueError, RecursionError):
        return False


def _unknown_tenant() -> NotFound:
    return NotFound(
        "the request names no tenant that exists",
        field="X-Tenant-Id",
        hint="send the header X-Tenant-Id: main, or the name of another tenant",
        reason=ErrorReason("tenant_unknown"),
    )
