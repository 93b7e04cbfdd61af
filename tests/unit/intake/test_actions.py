"""Verbs and actions."""

import json
from typing import Any

import pytest

from services.intake.actions import (
    ACTIONS,
    CancelOrder,
    ListOrders,
    Watch,
)
from shared.domain.errors import InvalidParams, UnknownAction
from shared.domain.states import State
from shared.server.actions import Request


def request(action: str, **members: Any) -> Request:
    """The request of an action that every server has."""
    return ACTIONS.actions[action].request(**members)


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("ping", request("ping")),
        ("PING", request("ping")),
        ("help order", request("help", topic="order")),
        ("salir", request("quit")),
        ("Exit", request("quit")),
        ("cancel  ab-1 ", CancelOrder(id="ab-1")),
        ("watch", Watch()),
        ("watch x", Watch(id="x")),
        ("list", ListOrders()),
        ("list EN_PROCESO limite=5", ListOrders(estado=State.RUNNING, limite=5)),
        ('list cliente="Ana Paz" listo', ListOrders(estado=State.DONE, cliente="Ana Paz")),
    ],
)
def test_verb_is_an_action(line: str, action: Request) -> None:
    assert ACTIONS.parse_verb(line).request == action


@pytest.mark.parametrize(
    ("line", "hint"),
    [("hlep", "did you mean help?"), ("sttaus 1", "did you mean status?"), ("exitt", "did you mean exit?")],
)
def test_typo_is_met_with_the_nearest_verb(line: str, hint: str) -> None:
    with pytest.raises(UnknownAction) as caught:
        ACTIONS.parse_verb(line)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "line", ["status", "cancel", "ping 1", "list limite=0", "list limite=x", "list color=red", 'list "', "list roto"]
)
def test_wrong_argument_is_refused(line: str) -> None:
    with pytest.raises(InvalidParams):
        ACTIONS.parse_verb(line)


def test_every_verb_is_an_action_too() -> None:
    for name, action in ACTIONS.actions.items():
        document: dict[str, Any] = {"action": name, "request_id": 7}
        document |= {member: "x" for member in ("id", "token") if member in action.request.__struct_fields__}
        assert ACTIONS.decode(json.dumps(document).encode(), name).request.request_id == 7
        assert ACTIONS.verbs[name] is action


@pytest.mark.parametrize(
    "document", [{"action": "ping", "x": 1}, {"action": "status"}, {"action": 3}, {"action": "status", "id": 3}]
)
def test_wrong_action_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InvalidParams):
        ACTIONS.decode(json.dumps(document).encode(), document["action"])
