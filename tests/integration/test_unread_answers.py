"""A peer that asks for pages and does not read them costs no server more than a few of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.intake import DistributedProcess, IntakeProcess, PersistenceProcess, Session

ASKED = 60
TAKEN = 30
"""More answers than the kernel and the limit of unread bytes have room for."""
LARGE = "x" * 200
Server = IntakeProcess | PersistenceProcess | DistributedProcess


def fill_intake(session: Session) -> None:
    products = [{"producto": f"{number}{LARGE}"[:200], "cantidad": 1} for number in range(900)]
    for _ in range(5):
        session.ask({"cliente": "Ana", "productos": products, "direccion": "Mayor 1"})


def fill_records(session: Session) -> None:
    for number in range(9):
        session.ask({"action": "put_item", "table": "Users", "item": {"user_id": number, "text": LARGE * 1000}})
        session.ask({"action": "set", "id": f"r{number}", "data": {"text": LARGE * 1000}})


def fill_notifications(session: Session) -> None:
    request = json.dumps({"action": "add_notification", "user_id": 1, "message": LARGE * 5}).encode()
    for _ in range(10):
        session.send((request + b"\n") * 100)
        for _ in range(100):
            assert session.read()["success"]


LIST = {"action": "list", "limite": 200}
USERS = {"action": "get_items", "table": "Users", "keys": [{"user_id": number} for number in range(9)]}
PAGE = {"action": "list", "limit": 100}
NOTIFICATIONS = {"action": "get_notifications", "user_id": 1, "limit": 1000}


@pytest.mark.parametrize(
    ("kind", "fill", "request_"),
    [
        pytest.param(IntakeProcess, fill_intake, LIST, id="orders"),
        pytest.param(PersistenceProcess, fill_records, USERS, id="records"),
        pytest.param(PersistenceProcess, fill_records, PAGE, id="page"),
        pytest.param(DistributedProcess, fill_notifications, NOTIFICATIONS, id="notifications"),
    ],
)
def test_answers_wait_for_a_peer_that_does_not_read(
    tmp_path: Path, kind: type[Server], fill: Callable[[Session], None], request_: dict[str, Any]
) -> None:
    with kind(tmp_path) as server, server.connect() as deaf, server.connect() as session:
        fill(session)
        deaf.send((json.dumps(request_).encode() + b"\n") * ASKED)
        for _ in range(ASKED):
            assert len(json.dumps(session.ask(request_))) > 500_000
        answered = count_answers(session, request_["action"])
        assert ASKED < answered < ASKED + TAKEN, answered
        # It is only late.
        for _ in range(ASKED):
            assert deaf.read()["success"]


def count_answers(session: Session, action: str) -> int:
    """How often an action was answered."""
    lines = session.ask("metrics")["metrics"].splitlines()
    return int(sum(float(one.rsplit(" ", 1)[1]) for one in lines if f'action="{action}"' in one and "_total" in one))
