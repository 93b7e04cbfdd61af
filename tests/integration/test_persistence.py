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


@pytest.mark.parametrize("puntaje", ["1.5", '"100"', "true", "null", "1e3"])
def test_score_that_is_no_whole_number_is_refused(records: Session, puntaje: str) -> None:
    answer = records.ask(f'{{"action":"save_score","user_id":1,"puntaje":{puntaje}}}')
    assert (answer["error"], answer["field"]) == ("invalid_params", "puntaje")


def test_verbs_are_short_forms(records: Session) -> None:
    put(records, "a/1", colour="red")
    put(records, "b/1")
    assert records.ask("get a/1")["data"] == {"colour": "red"}
    assert [item["id"] for item in records.ask("list a/")["items"]] == ["a/1"]
    assert records.ask("delete b/1") == {"success": True, "id": "b/1", "deleted": True}
    assert records.ask("GET b/1")["error"] == "not_found"
    assert "help" in records.ask("help")
    assert records.ask("hepl")["hint"] == "did you mean help?"
    assert records.ask("quit")["bye"] is True
    assert records.at_end()


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


def test_expected_version_guards_a_record(records: Session) -> None:
    assert records.ask({"action": "set", "id": "x", "data": {}, "version": 0})["version"] == 1
    answer = records.ask({"action": "set", "id": "x", "data": {}, "version": 0})
    assert (answer["error"], answer["version"]) == ("conflict", 1)
    assert records.ask({"action": "delete", "id": "x", "version": 1})["deleted"] is True


def test_pages_go_on_where_they_ended(records: Session) -> None:
    names = [f"r{number:02}" for number in range(7)]
    for name in names:
        put(records, name)
    found: list[str] = []
    cursor = None
    while True:
        page = records.ask({"action": "list", "limit": 3, "cursor": cursor})
        found += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == names


def test_cursor_is_good_for_its_own_query_only(records: Session) -> None:
    for name in ("a", "b"):
        put(records, name)
        records.ask({"action": "put_item", "table": "Scores", "item": {"user_id": ord(name), "puntaje_maximo": 1}})
    cursor = records.ask({"action": "list", "limit": 1})["cursor"]
    ranking = {"action": "query", "table": "Scores", "index": "ranking", "limit": 1}
    others = [
        {"action": "list", "prefix": "a", "cursor": cursor},
        {"action": "list_logs", "cursor": cursor},
        {**ranking, "cursor": cursor},
        {**ranking, "tenant": "other", "cursor": records.ask(ranking)["cursor"]},
        {"action": "list", "cursor": cursor[:-1] + ("A" if cursor[-1] != "A" else "B")},
        {"action": "list", "cursor": "nonsense\u00e9"},
        {"action": "list", "cursor": ""},
    ]
    for request in others:
        answer = records.ask(request)
        assert (answer["error"], answer["field"]) == ("invalid_params", "cursor"), request
    assert records.ask({"action": "list", "limit": 5, "cursor": cursor})["items"][0]["id"] == "b"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("{x}", "invalid_json"),
        ('{"action":"set","id":"x","data":{"a":1,"a":2}}', "invalid_json"),
        ('{"action":"set","id":"x","data":{"a":1e999}}', "invalid_params"),
        ('{"action":"set","id":"x","data":{"a":"\\ud800"}}', "invalid_json"),
        ('{"action":"set","id":"x","data":{"comanda:v":1}}', "invalid_params"),
        ('{"action":"set","id":"x","data":{"id":"y"}}', "invalid_params"),
        ('{"action":"set","id":"","data":{}}', "invalid_params"),
        ('{"action":"set","id":"x"}', "invalid_params"),
        ('{"action":"set","id":"x","data":{},"colour":1}', "invalid_params"),
        ('{"action":"sett","id":"x","data":{}}', "unknown_action"),
        ('{"action":7}', "invalid_params"),
        ('["set"]', "invalid_params"),
        ('{"action":"get_item","table":"Nothing","key":{"id":"x"}}', "invalid_params"),
        ('{"action":"get_item","table":"CorporateData","key":{"id":"x"}}', "invalid_params"),
        ('{"action":"get_item","table":"Secrets","key":{"name":"cursors"}}', "invalid_params"),
        ('{"action":"get_item","table":"Scores","key":{"user_id":"1"}}', "invalid_params"),
        ('{"action":"put_item","table":"Scores","item":{"puntaje_maximo":1}}', "invalid_params"),
        ('{"action":"query","table":"Scores","index":"nothing"}', "invalid_params"),
        ('{"action":"query","table":"Scores"}', "invalid_params"),
        ('{"action":"query","table":"Scores","index":"ranking","low":"a"}', "invalid_params"),
        ('{"action":"transact","actions":[]}', "invalid_params"),
        ('{"action":"changes","after":"nonsense"}', "invalid_params"),
        ('{"action":"changes","tenant":"a b"}', "invalid_params"),
        ('{"ACTION":"get"}', "invalid_params"),
        ('{"ACTION":"destroy","id":"x"}', "unknown_action"),
    ],
)
def test_wrong_request_is_told_and_changes_nothing(records: Session, request_: str, error: str) -> None:
    put(records, "x", before=True)
    answer = records.ask(request_ + "\n")
    assert error in (answer["error"], answer.get("code"))
    assert records.ask("get x")["data"] == {"before": True}


def test_item_that_is_too_large_is_refused(records: Session) -> None:
    answer = put(records, "x", text="x" * 400 * 1024)
    assert answer["error"] == "invalid_params"
    assert "bytes" in answer["message"]
    assert records.ask("get x")["error"] == "not_found"
    assert records.ask("verify_log")["valid"] is True


# The audit log.


def test_every_operation_is_on_record_with_who_asked(records: Session) -> None:
    records.ask({"action": "set", "id": "x", "data": {"n": 1}, "uuid": "cpu-7"})
    records.ask({"action": "get", "id": "x", "uuid": "cpu-8"})
    records.ask({"action": "get", "id": "nobody"})
    records.ask({"action": "set", "id": "x", "data": {}, "version": 9})
    records.ask("list")
    records.ask("delete x")
    entries = records.ask("logs")["items"][::-1]
    assert [entry["action"] for entry in entries] == ["set", "get", "get", "set", "list", "delete", "list_logs"]
    assert [entry["CPUid"] for entry in entries][:3] == ["cpu-7", "cpu-8", "unknown"]
    assert len({entry["sessionid"] for entry in entries}) == 1
    assert entries[0]["details"] == {"id": "x", "data": {"n": 1}}
    assert [entry["number"] for entry in entries] == list(range(1, 8))


def test_history_of_a_record_is_newest_first(records: Session) -> None:
    put(records, "x", n=1)
    put(records, "y")
    put(records, "x", n=2)
    records.ask("delete x")
    history = records.ask("history x")["items"]
    assert [entry["action"] for entry in history] == ["delete", "set", "set"]
    assert [entry["details"]["data"]["n"] for entry in history[1:]] == [2, 1]


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


# The upper-case dialect.


def test_older_programs_are_understood(persistence: PersistenceProcess) -> None:
    item = {"id": "UADER", "cp": "3260", "telefono": "03442 43-1442", "n": 1.5}
    assert one_shot(persistence, {"UUID": "cpu-1", "ACTION": "set", **item}) == item
    assert one_shot(persistence, {"UUID": "cpu-1", "ACTION": "get", "ID": "UADER"}) == item
    assert one_shot(persistence, {"UUID": "cpu-1", "ACTION": "get", "id": "UADER"}) == item
    assert one_shot(persistence, {"UUID": "cpu-1", "ACTION": "list"}) == [item]
    log = one_shot(persistence, {"UUID": "cpu-1", "ACTION": "list_logs"})
    assert [entry["action"] for entry in log] == ["list_logs", "list", "get", "get", "set"]
    assert {entry["CPUid"] for entry in log} == {"cpu-1"}
    assert "nobody" in one_shot(persistence, {"ACTION": "get", "ID": "nobody"})["error"]


def test_subscriber_of_the_dialect_gets_every_set(persistence: PersistenceProcess, records: Session) -> None:
    with persistence.connect() as observer:
        observer.send(json.dumps({"ACTION": "subscribe", "UUID": "cpu-1"}))
        assert observer.read()["status"] == "OK"
        put(records, "x", n=1)
        records.ask("delete x")
        put(records, "y")
        assert observer.read() == {"EVENT": "update", "DATA": {"id": "x", "n": 1}}
        assert observer.read() == {"EVENT": "update", "DATA": {"id": "y"}}
    # Under the name that it was asked by.
    assert [entry["action"] for entry in records.ask("logs")["items"]][-1] == "subscribe"


# Observers.


def test_observer_goes_on_where_it_was(persistence: PersistenceProcess, records: Session) -> None:
    with persistence.connect() as observer:
        assert observer.ask("watch")["watching"] == "all"
        put(records, "x", n=1)
        assert observer.read() == {"event": "update", "id": "x", "version": 1, "data": {"n": 1}}
        position = observer.read()["position"]
    put(records, "x", n=2)
    records.ask("delete x")
    with persistence.connect() as observer, persistence.connect() as other:
        other.ask("watch")
        observer.ask({"action": "watch", "since": position})
        put(records, "y")
        events: list[Any] = []
        while not events or events[-1].get("id") != "y":
            events.append(observer.read())
        changes = [(event["event"], event["id"], event["version"]) for event in events if event["event"] != "position"]
        assert changes == [("update", "x", 2), ("delete", "x", 2), ("update", "y", 1)]
        assert other.read()["id"] == "y"


def test_observer_of_one_record_hears_of_no_other(persistence: PersistenceProcess, records: Session) -> None:
    with persistence.connect() as observer:
        observer.ask("watch x")
        put(records, "y")
        put(records, "x")
        event = observer.read()
        while event["event"] == "position":
            event = observer.read()
        assert event["id"] == "x"
        assert observer.ask("unwatch") == {"success": True, "watching": None}


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
    assert [(change["old"] is None, change["new"] is None) for change in changes["changes"]] == [
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
