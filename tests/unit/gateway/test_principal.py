"""Principals and the routes that admit them."""

import pytest

from services.gateway.http.principal import (
    ADMINS,
    CUSTOMERS,
    DEVELOPER,
    INSTALLATION_VIEWERS,
    OPERATORS,
    PLAYER,
    PUBLIC,
    SIGNED_IN,
    VIEWERS,
    Principal,
    RouteAccess,
    check_access,
)
from shared.domain.accounts import Role
from shared.domain.errors import Forbidden, RequestError, Unauthorized


def account(role: Role, tenant: str = "main") -> Principal:
    return Principal(tenant=tenant, kind="account", user="u", roles=frozenset({role}), name="ana")


KEY = Principal(kind="api_key", roles=frozenset({"operator"}), name="key")
NUMBERED = Principal(kind="player", player=7, name="player 7")


@pytest.mark.parametrize(
    ("principal", "access", "refusal"),
    [
        (Principal(), PUBLIC, None),
        (Principal(), VIEWERS, Unauthorized),
        (Principal(), PLAYER, Unauthorized),
        (account("viewer"), VIEWERS, None),
        (account("viewer"), OPERATORS, Forbidden),
        (account("operator"), ADMINS, Forbidden),
        (account("customer"), VIEWERS, Forbidden),
        (account("customer"), CUSTOMERS, None),
        (account("customer"), SIGNED_IN, None),
        (account("admin"), PLAYER, Forbidden),
        (account("admin", "shop"), VIEWERS, None),
        (account("admin", "shop"), INSTALLATION_VIEWERS, Forbidden),
        (KEY, OPERATORS, None),
        (KEY, SIGNED_IN, Forbidden),
        (NUMBERED, PLAYER, None),
        (NUMBERED, INSTALLATION_VIEWERS, Forbidden),
        (NUMBERED, INSTALLATION_VIEWERS.or_players(), None),
        (NUMBERED, SIGNED_IN, Forbidden),
        (DEVELOPER, ADMINS, None),
        (DEVELOPER, PLAYER, None),
        (DEVELOPER, SIGNED_IN, Unauthorized),
    ],
)
def test_a_route_admits_what_it_declares(
    principal: Principal, access: RouteAccess, refusal: type[RequestError] | None
) -> None:
    if refusal is None:
        check_access(principal, access)
    else:
        with pytest.raises(refusal):
            check_access(principal, access)
