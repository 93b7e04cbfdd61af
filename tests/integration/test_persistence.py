"""The persistence server over real sockets: corporate data, its audit log, scores, records, and observers."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dynamodb import own_tables, settings_of
from tests.support.intake import PersistenceProcess, Session


@pytest.fixture(params=["sqlite", "dynamodb"])
def persistence(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PersistenceProcess]:
    """A running persistence server on either store."""
    settings = None
    if request.param == "dynamodb":
        settings = settings_of(own_tables(request.getfixturevalue("dynamodb")))
    with PersistenceProcess(tmp_path / "data", settings) as process:
        yield process


def put(session: Session, name: str, **data: Any) -> Any:
    return session.ask({"action": "set", "id": name, "data": data})


def one_shot(server: PersistenceProcess, document: dict[str, Any]) -> Any:
    """What a small client does: one document without a newline, and everything until the end of the stream."""
    with server.connect() as session:
        session.send(json.dumps(document))
        return json.loads(session.rest())


# The first minute.


def test_ping_and_scores_as_in_the_readme(records: Session) -> None:
    assert records.ask('{"action":"ping"}') == {"success": True, "pong": True}
    answer = records.ask('{"action":"save_score","user_id":1,"puntaje":100}')
    assert answer == {"success": True, "nuevo_record": True, "puntaje_maximo": 100}
    answer = records.ask('{"action":"save_score","user_id":1,"puntaje":40}')
    assert answer == {"success": True, "nuevo_record": False, "puntaje_maximo": 100}


# Corporate data.


def test_numbers_and_texts_come_back_exactly(records: Session) -> None:
    data = '{"big":12345678901234567890123456789012345678,"small":0.10000000000000000001,"text":"ñ\\u0000","deep":[{}]}'
    records.send(f'{{"action":"set","id":"x","data":{data}}}\nget x\n')
    records.read()
    line = records._file.readline().decode()
    assert "12345678901234567890123456789012345678" in line
    assert "0.10000000000000000001" in line
    assert json.loads(line)["data"]["deep"] == [{}]


def test_requests_of_a_connection_are_done_in_their_order(records: Session) -> None:
    lines = []
    for number in range(50):
        lines += [f'{{"action":"set","id":"x","data":{{"n":{number}}},"request_id":{number}}}', "get x", "list x"]
    records.send("\n".join(lines) + "\n")
    for number in range(50):
        assert records.read()["request_id"] == number
        assert records.read()["data"] == {"n": number}
        assert records.read()["items"][0]["data"] == {"n": number}


# The audit log.


@pytest.mark.parametrize(
    ("tamper", "number", "reason"),
    [
        (
            "UPDATE items SET document = replace(document, '\"n\":3', '\"n\":4') WHERE document LIKE '%CPUid%'",
            3,
            "changed",
        ),
        ('DELETE FROM items WHERE document LIKE \'%"id":"main:3"%\'', 3, "missing"),
        ('DELETE FROM items WHERE document LIKE \'%"id":"main:5"%\'', 5, "missing"),
    ],
)
def test_tampering_with_the_log_is_seen(tmp_path: Path, tamper: str, number: int, reason: str) -> None:
    with PersistenceProcess(tmp_path) as server, server.connect() as session:
        for n in range(1, 6):
            put(session, "x", n=n)
        assert session.ask("verify_log")["valid"] is True
    with PersistenceProcess(tmp_path) as server, server.connect() as session:
        assert session.ask("verify_log") == {"success": True, "valid": True, "entries": 7, "chains": 1}
    with contextlib.closing(sqlite3.connect(tmp_path / "records.db")) as connection, connection:
        connection.execute("DELETE FROM items WHERE document LIKE '%verify_log%'")
        connection.execute("UPDATE items SET document = replace(document, '\"number\":7', '\"number\":5')")
        assert connection.execute(tamper).rowcount
    with PersistenceProcess(tmp_path) as server, server.connect() as session:
        answer = session.ask("verify_log")
    assert (answer["valid"], answer["broken"]["number"]) == (False, number)
    assert reason in answer["reason"]


# Records of other services.


def test_items_with_conditions_counters_and_transactions(records: Session) -> None:
    key = {"user_id": 1}
    update = {"action": "update_item", "table": "Scores", "key": key, "create": {"level": 1}, "add": {"partidas": 1}}
    item = {"user_id": 1, "level": 1, "partidas": 1}
    assert records.ask({**update, "when": {"exists": True}})["error"] == "conflict"
    assert records.ask(update) == {"success": True, "item": item, "version": 1}
    assert records.ask({"action": "get_item", "table": "Scores", "key": key})["version"] == 1
    assert records.ask({"action": "get_item", "table": "Scores", "key": key, "tenant": "b"})["item"] is None
    several = records.ask({"action": "get_items", "table": "Scores", "keys": [{"user_id": 9}, key]})["items"]
    assert [(one["item"], one["version"]) for one in several] == [(None, 0), (item, 1)]
    wrong = records.ask({"action": "get_items", "table": "Scores", "keys": [key, {"user_id": "1"}]})
    assert (wrong["error"], wrong["field"]) == ("invalid_params", "user_id")
    actions = [
        {"do": "put", "table": "Scores", "item": {"user_id": 2, "puntaje_maximo": 5}},
        {"do": "check", "table": "Scores", "key": key, "when": {"version": 7}},
    ]
    assert records.ask({"action": "transact", "actions": actions})["error"] == "conflict"
    results = records.ask({"action": "batch", "actions": actions})["results"]
    assert [result["success"] for result in results] == [True, False]
    assert records.ask({"action": "delete_item", "table": "Scores", "key": key})["item"] is None
    ranking = records.ask({"action": "query", "table": "Scores", "index": "ranking", "descending": True})
    assert [one["item"]["user_id"] for one in ranking["items"]] == [2]
    changes = records.ask({"action": "changes"})
    scores = [change for change in changes["changes"] if change["table"] == "Scores"]
    assert [(change["old"] is None, change["new"] is None) for change in scores] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert records.ask({"action": "changes", "after": changes["position"]})["changes"] == []


# Faults.


def test_killed_server_has_everything_that_it_answered(tmp_path: Path) -> None:
    server = PersistenceProcess(tmp_path)
    with server.start().connect() as session:
        session.send("".join(f'{{"action":"set","id":"r{n}","data":{{"n":{n}}}}}\n' for n in range(2000)))
        answered = [session.read()["id"] for _ in range(700)]
        server.kill()
        session.close()
    with server.start().connect() as session:
        for name in answered:
            assert session.ask(f"get {name}")["success"] is True
        assert session.ask("verify_log")["valid"] is True
    server.terminate()


def test_second_server_on_one_file_is_refused(tmp_path: Path) -> None:
    with PersistenceProcess(tmp_path):
        second = PersistenceProcess(tmp_path)
        with pytest.raises(AssertionError):
            second.start()
        assert second.wait() == 2


def test_stop_answers_what_came_in(tmp_path: Path) -> None:
    server = PersistenceProcess(tmp_path)
    with server.start().connect() as session:
        session.ask("ping")
        session.send('{"action":"set","id":"x","data":{}}\n')
        session.read()
        assert server.terminate() == 0
        assert session.at_end()


def test_items_of_many_keys_come_a_mebibyte_at_a_time(records: Session) -> None:
    for number in range(5):
        item = {"id": str(number), "title": "x" * 300_000, "created_at": "2026-01-01T00:00:00Z"}
        assert records.ask({"action": "put_item", "table": "Tasks", "item": item})["success"]
    keys = [{"id": str(number)} for number in (0, 1, 2, 9, 3, 4)]
    request = {"action": "get_items", "table": "Tasks", "keys": keys}
    first = records.ask(request)
    assert len(json.dumps(first)) < 2**20
    assert first["cursor"] is not None
    second = records.ask({**request, "cursor": first["cursor"]})
    assert second["cursor"] is None
    found = [one["item"] and one["item"]["id"] for one in first["items"] + second["items"]]
    assert found == ["0", "1", "2", None, "3", "4"]
    for wrong in ("6", "-1", "x", ""):
        assert records.ask({**request, "cursor": wrong})["field"] == "cursor"
