"""Verbs and actions."""

import json

import pytest

from services.intake.requests import (
    ACTIONS,
    Action,
    Cancel,
    Help,
    ListOrders,
    Ping,
    Quit,
    Watch,
    decode_action,
    parse_verb,
)
from shared.domain.errors import InvalidParams, UnknownAction
from shared.domain.states import State


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("ping", Ping()),
        ("PING", Ping()),
        ("help order", Help(topic="order")),
        ("salir", Quit()),
        ("Exit", Quit()),
        ("cancel  ab-1 ", Cancel(id="ab-1")),
        ("watch", Watch()),
        ("watch x", Watch(id="x")),
        ("list", ListOrders()),
        ("list EN_PROCESO limite=5", ListOrders(estado=State.RUNNING, limite=5)),
        ('list cliente="Ana Paz" listo', ListOrders(estado=State.DONE, cliente="Ana Paz")),
    ],
)
def test_verb_is_an_action(line: str, action: Action) -> None:
    assert parse_verb(line) == action


@pytest.mark.parametrize(
    ("line", "hint"),
    [("hlep", "did you mean help?"), ("sttaus 1", "did you mean status?"), ("exitt", "did you mean exit?")],
)
def test_typo_is_met_with_the_nearest_verb(line: str, hint: str) -> None:
    with pytest.raises(UnknownAction) as caught:
        parse_verb(line)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "line", ["status", "cancel", "ping 1", "list limite=0", "list limite=x", "list color=red", 'list "', "list roto"]
)
def test_wrong_argument_is_refused(line: str) -> None:
    with pytest.raises(InvalidParams):
        parse_verb(line)


def test_every_verb_is_an_action_too() -> None:
    for name in ACTIONS:
        document = {"action": name, "request_id": 7} | ({"id": "x"} if "id" in ACTIONS[name].__struct_fields__ else {})
        action = decode_action(json.dumps(document).encode(), name)
        assert action.request_id == 7


@pytest.mark.parametrize(
    "document", [{"action": "ping", "x": 1}, {"action": "status"}, {"action": 3}, {"action": "status", "id": 3}]
)
def test_wrong_action_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InvalidParams):
        decode_action(json.dumps(document).encode(), document["action"])
