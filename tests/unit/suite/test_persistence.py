"""The persistence server in this process: bytes in, bytes out, on a store in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from shared.domain.errors import StoreError
from shared.domain.records import item_bytes
from shared.stores.ports.records import ReadRoom
from tests.support.in_process import Suite
from tests.support.lines import Lines
from tests.support.memory_records import MemoryRecordStore
from tests.support.simulation import pass_time_until

SERVER = "tcp_persist_port"


@pytest.fixture
async def records(suite: Suite) -> AsyncIterator[Lines]:
    """A connection to a persistence server."""
    await suite.start_persistence()
    async with suite.connect(SERVER) as lines:
        yield lines


async def put(session: Lines, name: str, **data: Any) -> Any:
    return await session.ask({"action": "set", "id": name, "data": data})


async def one_shot(suite: Suite, document: dict[str, Any]) -> Any:
    """What a small client does: one document without a newline, and everything until the end of the stream."""
    async with suite.connect(SERVER) as session:
        session.send(json.dumps(document))
        return json.loads(await session.rest())


@pytest.mark.parametrize("puntaje", ["1.5", '"100"', "true", "null", "1e3"])
async def test_score_that_is_no_whole_number_is_refused(records: Lines, puntaje: str) -> None:
    answer = await records.ask(f'{{"action":"save_score","user_id":1,"puntaje":{puntaje}}}')
    assert (answer["error"], answer["field"]) == ("invalid_params", "puntaje")


async def test_verbs_are_short_forms(records: Lines) -> None:
    await put(records, "a/1", colour="red")
    await put(records, "b/1")
    assert (await records.ask("get a/1"))["data"] == {"colour": "red"}
    assert [item["id"] for item in (await records.ask("list a/"))["items"]] == ["a/1"]
    assert await records.ask("delete b/1") == {"success": True, "id": "b/1", "deleted": True}
    assert (await records.ask("GET b/1"))["error"] == "not_found"
    assert (await records.ask({"action": "help"}))["help"]
    shown = await records.ask_help()
    assert "To begin:" in shown[0]
    assert all(len(text) < 80 for text in shown)
    assert (await records.ask("hepl"))["hint"] == "did you mean help?"
    assert (await records.ask("quit"))["bye"] is True
    assert await records.at_end()


async def test_expected_version_guards_a_record(records: Lines) -> None:
    assert (await records.ask({"action": "set", "id": "x", "data": {}, "version": 0}))["version"] == 1
    answer = await records.ask({"action": "set", "id": "x", "data": {}, "version": 0})
    assert (answer["error"], answer["version"]) == ("conflict", 1)
    assert (await records.ask({"action": "delete", "id": "x", "version": 1}))["deleted"] is True


async def test_pages_go_on_where_they_ended(records: Lines) -> None:
    names = [f"r{number:02}" for number in range(7)]
    for name in names:
        await put(records, name)
    found: list[str] = []
    cursor = None
    while True:
        page = await records.ask({"action": "list", "limit": 3, "cursor": cursor})
        found += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == names


async def test_cursor_is_good_for_its_own_query_only(records: Lines) -> None:
    for name in ("a", "b"):
        await put(records, name)
        await records.ask(
            {"action": "put_item", "table": "Scores", "item": {"user_id": ord(name), "puntaje_maximo": 1}}
        )
    cursor = (await records.ask({"action": "list", "limit": 1}))["cursor"]
    ranking = {"action": "query", "table": "Scores", "index": "ranking", "limit": 1}
    others = [
        {"action": "list", "prefix": "a", "cursor": cursor},
        {"action": "list_logs", "cursor": cursor},
        {**ranking, "cursor": cursor},
        {**ranking, "tenant": "other", "cursor": (await records.ask(ranking))["cursor"]},
        {"action": "list", "cursor": cursor[:-1] + ("A" if cursor[-1] != "A" else "B")},
        {"action": "list", "cursor": "nonsense\u00e9"},
        {"action": "list", "cursor": ""},
    ]
    for request in others:
        answer = await records.ask(request)
        assert (answer["error"], answer["field"]) == ("invalid_params", "cursor"), request
    assert (await records.ask({"action": "list", "limit": 5, "cursor": cursor}))["items"][0]["id"] == "b"


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
async def test_wrong_request_is_told_and_changes_nothing(records: Lines, request_: str, error: str) -> None:
    await put(records, "x", before=True)
    answer = await records.ask(request_ + "\n")
    assert error in (answer["error"], answer.get("code"))
    assert (await records.ask("get x"))["data"] == {"before": True}


async def test_item_that_is_too_large_is_refused(records: Lines) -> None:
    answer = await put(records, "x", text="x" * 400 * 1024)
    assert answer["error"] == "invalid_params"
    assert "bytes" in answer["message"]
    assert (await records.ask("get x"))["error"] == "not_found"
    assert (await records.ask("verify_log"))["valid"] is True


async def test_every_operation_is_on_record_with_who_asked(records: Lines) -> None:
    await records.ask({"action": "set", "id": "x", "data": {"n": 1}, "uuid": "cpu-7"})
    await records.ask({"action": "get", "id": "x", "uuid": "cpu-8"})
    await records.ask({"action": "get", "id": "nobody"})
    await records.ask({"action": "set", "id": "x", "data": {}, "version": 9})
    await records.ask("list")
    await records.ask("delete x")
    entries = (await records.ask("logs"))["items"][::-1]
    assert [entry["action"] for entry in entries] == ["set", "get", "get", "set", "list", "delete", "list_logs"]
    assert [entry["CPUid"] for entry in entries][:3] == ["cpu-7", "cpu-8", "unknown"]
    assert len({entry["sessionid"] for entry in entries}) == 1
    assert entries[0]["details"] == {"id": "x", "data": {"n": 1}}
    assert [entry["number"] for entry in entries] == list(range(1, 8))


async def test_history_of_a_record_is_newest_first(records: Lines) -> None:
    await put(records, "x", n=1)
    await put(records, "y")
    await put(records, "x", n=2)
    await records.ask("delete x")
    history = (await records.ask("history x"))["items"]
    assert [entry["action"] for entry in history] == ["delete", "set", "set"]
    assert [entry["details"]["data"]["n"] for entry in history[1:]] == [2, 1]


async def test_older_programs_are_understood(suite: Suite, records: Lines) -> None:
    item = {"id": "UADER", "cp": "3260", "telefono": "03442 43-1442", "n": 1.5}
    assert await one_shot(suite, {"UUID": "cpu-1", "ACTION": "set", **item}) == item
    assert await one_shot(suite, {"UUID": "cpu-1", "ACTION": "get", "ID": "UADER"}) == item
    assert await one_shot(suite, {"UUID": "cpu-1", "ACTION": "get", "id": "UADER"}) == item
    assert await one_shot(suite, {"UUID": "cpu-1", "ACTION": "list"}) == [item]
    log = await one_shot(suite, {"UUID": "cpu-1", "ACTION": "list_logs"})
    assert [entry["action"] for entry in log] == ["list_logs", "list", "get", "get", "set"]
    assert {entry["CPUid"] for entry in log} == {"cpu-1"}
    assert "nobody" in (await one_shot(suite, {"ACTION": "get", "ID": "nobody"}))["error"]


async def test_subscriber_of_the_dialect_gets_every_set(suite: Suite, records: Lines) -> None:
    async with suite.connect(SERVER) as observer:
        observer.send(json.dumps({"ACTION": "subscribe", "UUID": "cpu-1"}))
        assert (await observer.read())["status"] == "OK"
        await put(records, "x", n=1)
        await records.ask("delete x")
        await put(records, "y")
        assert await observer.read() == {"EVENT": "update", "DATA": {"id": "x", "n": 1}}
        assert await observer.read() == {"EVENT": "update", "DATA": {"id": "y"}}
    # Under the name that it was asked by.
    assert [entry["action"] for entry in (await records.ask("logs"))["items"]][-1] == "subscribe"


async def test_observer_goes_on_where_it_was(suite: Suite, records: Lines) -> None:
    async with suite.connect(SERVER) as observer:
        assert (await observer.ask("watch"))["watching"] == "all"
        await put(records, "x", n=1)
        assert await observer.read() == {"event": "update", "id": "x", "version": 1, "data": {"n": 1}}
        position = (await observer.read())["position"]
    await put(records, "x", n=2)
    await records.ask("delete x")
    async with suite.connect(SERVER) as observer, suite.connect(SERVER) as other:
        await other.ask("watch")
        await observer.ask({"action": "watch", "since": position})
        await put(records, "y")
        events: list[Any] = []
        while not events or events[-1].get("id") != "y":
            events.append(await observer.read())
        changes = [(event["event"], event["id"], event["version"]) for event in events if event["event"] != "position"]
        assert changes == [("update", "x", 2), ("delete", "x", 2), ("update", "y", 1)]
        assert (await other.read())["id"] == "y"


async def test_observer_of_one_record_hears_of_no_other(suite: Suite, records: Lines) -> None:
    async with suite.connect(SERVER) as observer:
        await observer.ask("watch x")
        await put(records, "y")
        await put(records, "x")
        event = await observer.read()
        while event["event"] == "position":
            event = await observer.read()
        assert event["id"] == "x"
        assert await observer.ask("unwatch") == {"success": True, "watching": None}


async def test_requests_of_a_turn_are_answered_in_their_order_each_by_itself(records: Lines) -> None:
    for number in range(20):
        records.send(f'{{"action":"set","id":"x","data":{{"n":{number}}}}}\nget x\nlist x\nget nobody\n')
    for number in range(20):
        assert (await records.read())["data"] == {"n": number}
        assert (await records.read())["data"] == {"n": number}
        assert [one["data"] for one in (await records.read())["items"]] == [{"n": number}]
        assert (await records.read())["error"] == "not_found"


async def test_items_with_conditions_counters_and_transactions(records: Lines) -> None:
    key = {"user_id": 1}
    update = {"action": "update_item", "table": "Scores", "key": key, "create": {"level": 1}, "add": {"partidas": 1}}
    item = {"user_id": 1, "level": 1, "partidas": 1}
    assert (await records.ask({**update, "when": {"exists": True}}))["error"] == "conflict"
    assert await records.ask(update) == {"success": True, "item": item, "version": 1}
    assert (await records.ask({"action": "get_item", "table": "Scores", "key": key, "tenant": "b"}))["item"] is None
    several = (await records.ask({"action": "get_items", "table": "Scores", "keys": [{"user_id": 9}, key]}))["items"]
    assert [(one["item"], one["version"]) for one in several] == [(None, 0), (item, 1)]
    actions = [
        {"do": "put", "table": "Scores", "item": {"user_id": 2, "puntaje_maximo": 5}},
        {"do": "check", "table": "Scores", "key": key, "when": {"version": 7}},
    ]
    assert (await records.ask({"action": "transact", "actions": actions}))["error"] == "conflict"
    assert (await records.ask({"action": "transact", "actions": actions[:1]}))["items"][0]["version"] == 1
    without = await records.ask({"action": "transact", "actions": actions[:1], "items": False})
    assert without == {"success": True}
    without = await records.ask({"action": "transact", "actions": actions, "items": False})
    assert (without["error"], without["action"]) == ("conflict", 1)
    results = (await records.ask({"action": "batch", "actions": actions}))["results"]
    assert [result["success"] for result in results] == [True, False]
    assert (await records.ask({"action": "delete_item", "table": "Scores", "key": key}))["item"] is None
    ranking = await records.ask({"action": "query", "table": "Scores", "index": "ranking", "descending": True})
    assert [one["item"]["user_id"] for one in ranking["items"]] == [2]
    changes = await records.ask({"action": "changes"})
    scores = [change for change in changes["changes"] if change["table"] == "Scores"]
    assert [change["new"] is None for change in scores] == [False, False, False, False, True]
    assert (await records.ask({"action": "changes", "after": changes["position"]}))["changes"] == []


async def test_score_is_a_record_when_it_is_above_the_best(records: Lines) -> None:
    found = [await records.ask({"action": "save_score", "user_id": 7, "puntaje": score}) for score in (0, 5, 3)]
    assert [(one["nuevo_record"], one["puntaje_maximo"]) for one in found] == [(False, 0), (True, 5), (False, 5)]


async def test_tampering_with_the_log_is_seen(suite: Suite, records: Lines) -> None:
    for n in range(1, 4):
        await put(records, "x", n=n)
    assert await records.ask("verify_log") == {"success": True, "valid": True, "entries": 4, "chains": 1}
    place, row = next(one for one in suite.records.rows.items() if '"n":2' in one[1].document and "CPUid" in str(one))
    suite.records.rows[place] = row._replace(document=row.document.replace('"n":2', '"n":9'))
    answer = await records.ask("verify_log")
    assert (answer["valid"], answer["broken"]["number"]) == (False, 2)
    assert "changed" in answer["reason"]
    del suite.records.rows[place]
    assert "missing" in (await records.ask("verify_log"))["reason"]


async def test_chain_of_the_log_goes_on_after_a_restart(suite: Suite) -> None:
    for n in range(2):
        await suite.start_persistence()
        async with suite.connect(SERVER) as session:
            await put(session, "x", n=n)
            assert (await session.ask("verify_log"))["entries"] == 2 * n + 2
        await suite.stop(SERVER)


async def test_store_that_refuses_is_told_of_and_nothing_has_happened(suite: Suite, records: Lines) -> None:
    await put(records, "x", n=1)
    suite.records.failing = StoreError("the disk is full")
    for request in ('{"action":"set","id":"x","data":{}}', "get x", "list", "logs", '{"action":"changes"}'):
        assert (await records.ask(request))["error"] == "db_error"
    health = await records.ask("health")
    assert (health["status"], health["store"]) == ("degraded", "the disk is full")
    suite.records.failing = None
    assert (await records.ask("get x"))["data"] == {"n": 1}
    assert (await records.ask("health"))["status"] == "ok"
    assert (await records.ask("verify_log"))["valid"]


async def test_request_behind_its_deadline_is_not_begun(records: Lines) -> None:
    await put(records, "x", text="x" * 300_000)
    # Pages hold back what follows them until the peer has read.
    records.stop_reading()
    records.send("list\n" * 8 + '{"action":"set","id":"late","data":{},"deadline_ms":50}\nget x\n')
    await asyncio.sleep(1)
    records.resume_reading()
    answers = [await records.read() for _ in range(10)]
    assert [answer.get("error") for answer in answers] == [None] * 8 + ["deadline_exceeded", None]
    assert (await records.ask("get late"))["error"] == "not_found"


async def test_token_lets_in_and_nothing_else_does(suite: Suite) -> None:
    token = "a token of the tests"
    await suite.start_persistence(service_token=token)
    async with suite.connect(SERVER) as session:
        session.send(json.dumps({"action": "authenticate", "token": token, "request_id": 7}) + "\nping\n")
        assert await session.read() == {"success": True, "authenticated": True, "request_id": 7}
        assert (await session.read())["pong"]
        assert (await put(session, "x"))["success"]
    for first in ("ping", '{"action":"authenticate","token":7}', "authenticate x", "{oops}", "[]", "GET / HTTP/1.1"):
        async with suite.connect(SERVER) as session:
            session.send(first + '\n{"action":"set","id":"y","data":{}}\n')
            answer = (await session.rest()).decode()
            assert "unauthorized" in answer or answer.startswith("HTTP/1.1 400")
    async with suite.connect(SERVER) as session:
        assert (await session.ask(f"AUTHENTICATE {token}"))["authenticated"]
        assert (await session.ask("get y"))["error"] == "not_found"


async def test_observer_of_changes_that_are_gone_is_told(suite: Suite, records: Lines) -> None:
    await put(records, "x")
    suite.records.forgotten = len(suite.records.feed)
    assert (await records.ask({"action": "watch", "since": "0"}))["error"] == "gone"
    assert (await records.ask({"action": "changes", "after": "0"}))["error"] == "gone"


async def test_feed_that_fails_is_tried_again(
    suite: Suite, records: Lines, log: list[MutableMapping[str, Any]]
) -> None:
    async with suite.connect(SERVER) as observer:
        suite.records.failing_feed = StoreError("busy")
        await observer.ask("watch")
        await put(records, "x")
        await pass_time_until(lambda: [entry for entry in log if entry.get("reason") == "busy"])
        suite.records.failing_feed = None
        assert (await observer.read())["id"] == "x"


async def test_help_metrics_and_health(records: Lines) -> None:
    assert any("set" in line for line in (await records.ask({"action": "help"}))["help"])
    assert "comanda_" in (await records.ask("metrics"))["metrics"]
    health = await records.ask("health")
    assert (health["status"], health["store"]) == ("ok", "ok")


async def test_a_turn_reads_four_mebibytes_and_the_rest_waits_for_its_turn(
    suite: Suite, records: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    get = MemoryRecordStore.get

    async def measure_get(store: MemoryRecordStore, asks: Any, *, room: ReadRoom | None = None) -> Any:
        found = await get(store, asks, room=room)
        sizes.append(sum(item_bytes(record.item) for record in found if record is not None))
        return found

    monkeypatch.setattr(MemoryRecordStore, "get", measure_get)
    for name in ("a", "b"):
        await put(records, name, text=name * 250_000)
    keys: list[dict[str, Any]] = [
        {"action": "get", "id": "ab"[number % 2], "request_id": number} for number in range(40)
    ]
    pages: list[dict[str, Any]] = [
        {"action": "get_items", "table": "Stores", "keys": [{"store": "x"}], "request_id": "p"}
    ] * 6
    changes: list[dict[str, Any]] = [
        {"action": "changes", "limit": 1, "request_id": "c"},
        {"action": "ping", "request_id": "i"},
    ]
    requests = [*keys[:20], *pages, *changes, *keys[20:], {"action": "set", "id": "c", "data": {}, "request_id": "s"}]
    records.send("".join(f"{json.dumps(request)}\n" for request in requests))
    answers = [await records.read() for _ in requests]
    assert [answer["request_id"] for answer in answers] == [request["request_id"] for request in requests]
    assert all(answer["success"] for answer in answers)
    read = [answer["data"]["text"][0] for answer in answers if answer["request_id"] in range(40)]
    assert read == ["a", "b"] * 20
    assert max(sizes) <= 4 * 2**20
    assert sum(sizes) >= 40 * 250_000
    logs = (await records.ask({"action": "list_logs", "limit": 100}))["items"]
    assert sum(entry["action"] == "get" for entry in logs) == 40
    assert (await records.ask("verify_log"))["valid"]


async def test_updates_whose_items_are_too_large_for_an_answer_are_refused(records: Lines) -> None:
    for number in range(12):
        item = {"import": "i", "number": number, "rows": "x" * 400_000}
        assert (await records.ask({"action": "put_item", "table": "StockImportRows", "item": item}))["success"]
    keys = [{"import": "i", "number": number} for number in range(12)]
    updates = [{"do": "update", "table": "StockImportRows", "key": key, "set": {"seen": True}} for key in keys]
    for options in ({}, {"items": False}):
        answer = await records.ask({"action": "transact", "actions": updates, **options})
        assert (answer["error"], answer["field"]) == ("invalid_params", "actions")
    assert (await records.ask({"action": "get_item", "table": "StockImportRows", "key": keys[0]}))["version"] == 1
    removal = {"do": "delete", "table": "StockImportRows", "key": keys[11]}
    results = (await records.ask({"action": "batch", "actions": [*updates, removal]}))["results"]
    assert [result["success"] for result in results] == [True] * 10 + [False, False, True]
    assert {result.get("error") for result in results[10:12]} == {"invalid_params"}


@pytest.mark.parametrize(
    ("members", "who", "named"),
    [
        ({"uuid": "cpu-1", "user": "ana"}, "cpu-1", "ana"),
        ({"user": "ana"}, "ana", None),
        ({"uuid": "cpu-1"}, "cpu-1", None),
        ({}, "unknown", None),
    ],
)
async def test_an_entry_has_the_client_and_the_user(
    records: Lines, members: dict[str, str], who: str, named: str | None
) -> None:
    assert (await records.ask({"action": "set", "id": "x", "data": {}, **members}))["success"]
    (entry,) = (await records.ask("history x"))["items"]
    assert (entry["CPUid"], entry["details"].get("user")) == (who, named)
