"""Who the gateway takes a sender for."""

from typing import Any

import jwt
import pytest

from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp

SECRET = "a secret of at least thirty-two characters"
PATH = "/api/v1/principal"


async def ask(suite: Suite, stage: str, **headers: str) -> Any:
    http = InProcessHttp(await suite.start_gateway(stage=stage, jwt_secret=SECRET))
    reply = await http.ask("GET", PATH, headers=headers)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    return reply.json


async def test_developer_has_all_roles(suite: Suite) -> None:
    found = await ask(suite, "dev")
    assert (found["kind"], found["tenant"], found["development"]) == ("developer", "main", True)
    assert found["roles"] == ["admin", "customer", "operator", "staff", "viewer"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer forged"}, {"Cookie": "comanda_session=forged"}])
async def test_who_has_no_valid_credentials_is_anonymous(suite: Suite, headers: dict[str, str]) -> None:
    found = await ask(suite, "prod", **headers)
    assert (found["kind"], found["roles"], found["user"], found["development"]) == ("anonymous", [], None, False)


async def test_player_has_no_roles(suite: Suite) -> None:
    token = jwt.encode({"sub": "7", "iat": 1, "exp": 4_000_000_000}, SECRET, algorithm="HS256")
    found = await ask(suite, "prod", Authorization=f"Bearer {token}")
    assert (found["kind"], found["name"], found["roles"]) == ("player", "player 7", [])
