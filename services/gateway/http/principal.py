"""Principals and access: who sends a request, and which principals a route admits.

Every route declares its `access`: `PUBLIC`, `PLAYER`, `SIGNED_IN`, or a set of roles such as `VIEWERS`. The router
authenticates each request before it reads the body, and `check_access` compares the two.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from shared.domain.accounts import ROLES, Role
from shared.domain.errors import ErrorReason, Forbidden, Unauthorized
from shared.domain.tenants import MAIN

PrincipalKind = Literal["anonymous", "account", "api_key", "player", "developer"]

ALL_ROLES: frozenset[Role] = frozenset(ROLES)


class Principal(Struct, frozen=True, kw_only=True):
    """The sender of a request. A `player` is the numeric subject of a token for scores and notifications."""

    tenant: str = MAIN
    kind: PrincipalKind = "anonymous"
    user: str | None = None
    """Id of the account; None for API keys, players and developers."""
    roles: frozenset[Role] = frozenset()
    session: str | None = None
    player: int | None = None
    name: str = "anonymous"
    """Name in the audit log."""


DEVELOPER = Principal(kind="developer", roles=ALL_ROLES, name="developer")
"""The principal of a request without credentials from this machine with STAGE=dev."""


class RouteAccess(Struct, frozen=True, kw_only=True):
    """The principals that a route admits: everybody if it is `public`, else any of those that it names."""

    public: bool = False
    players: bool = False
    signed_in: bool = False
    """Whether every account of the tenant is admitted."""
    roles: frozenset[Role] = frozenset()
    installation: bool = False
    """Whether it is of the installation as a whole: then roles and accounts of the tenant `main` only are admitted."""

    def for_installation(self) -> "RouteAccess":
        """Returns this access for things of the installation, which belong to the tenant `main`."""
        return replace(self, installation=True)

    def or_players(self) -> "RouteAccess":
        """Returns this access with players admitted as well."""
        return replace(self, players=True)

    def admits(self, principal: Principal) -> bool:
        """Whether a principal may use the route."""
        if self.public or (self.players and principal.kind in ("player", "developer")):
            return True
        if self.installation and principal.tenant != MAIN:
            return False
        return (self.signed_in and principal.user is not None) or not self.roles.isdisjoint(principal.roles)


def roles(*names: Role) -> RouteAccess:
    """Returns the access of accounts and API keys with any of these roles."""
    return RouteAccess(roles=frozenset(names))


PUBLIC = RouteAccess(public=True)
"""Everybody: registration and sign-in, for one tenant."""
INSTALLATION_PUBLIC = PUBLIC.for_installation()
"""Everybody, without naming a tenant: probes and pages."""
PLAYER = RouteAccess(players=True)
"""Players, by a token that `python -m clients token` makes."""
SIGNED_IN = RouteAccess(signed_in=True)
"""Every account of the tenant, for its own things."""
VIEWERS = roles("viewer", "operator", "admin")
OPERATORS = roles("operator", "admin")
INSTALLATION_VIEWERS = VIEWERS.for_installation()
INSTALLATION_OPERATORS = OPERATORS.for_installation()
ADMINS = roles("admin")
STAFF = roles("staff", "operator", "admin")
"""Those who edit the catalogue."""
CUSTOMERS = roles("customer", "staff", "viewer", "operator", "admin")
"""Customers, and all other roles, each for their own things."""


def check_access(principal: Principal, access: RouteAccess) -> None:
    """Raises Unauthorized for a principal that could be admitted with credentials, and Forbidden for any other."""
    if access.admits(principal):
        return
    if principal.kind in ("anonymous", "developer"):
        raise Unauthorized(
            "this needs a sign-in",
            hint="sign in, or send a header Authorization: Bearer TOKEN",
            reason=ErrorReason("sign_in_needed"),
        )
    if access.installation and principal.tenant != MAIN:
        raise Forbidden(
            f"this belongs to the tenant {MAIN}",
            hint=f"use an account or a key of the tenant {MAIN}",
            reason=ErrorReason("tenant_other"),
        )
    needed = ", ".join(sorted(access.roles)) or ("an account" if access.signed_in else "the token of a player")
    raise Forbidden(
        f"{principal.name} may not do this",
        hint=f"it needs one of: {needed}",
        reason=ErrorReason("role_needed", roles=sorted(access.roles)),
    )
