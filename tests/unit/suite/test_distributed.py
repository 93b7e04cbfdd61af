"""The distributed service in this process: statistics, notifications and events, in step with the other servers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, MutableMapping
from datetime import datetime
from typing import Any

import pytest

from clients.errors import Refused
from services.distributed.pickled import ANSWER, REQUEST
from shared.domain.errors import StoreError
from shared.serialization.serializer import deserialize, serialize
from shared.serialization.signed_pickles import Pickles
from tests.support.in_process import Suite
from tests.support.lines import PATIENCE, Lines
from tests.support.simulation import pass_time_until

SERVER = "distributed_port"
ORDER = {"cliente": "Ana", "productos": ["pan", {"producto": "agua", "cantidad": 3}], "direccion": "Mayor 1"}
KEY = "a key of the tests, long enough to be one"


@pytest.fixture
async def service(suite: Suite, request: pytest.FixtureRequest) -> AsyncIterator[Lines]:
    """A connection to a distributed service; `@pytest.mark.distributed(NAME=value)` gives it settings."""
    marker = request.node.get_closest_marker("distributed")
    settings = marker.kwargs if marker else {}
    await suite.start_distributed(**{name.lower(): value for name, value in settings.items()})
    async with suite.connect(SERVER) as lines:
        yield lines


@pytest.fixture
async def records(suite: Suite) -> AsyncIterator[Lines]:
    """A connection to a persistence server."""
    await suite.start_persistence()
    async with suite.connect("tcp_persist_port") as lines:
        yield lines


@pytest.fixture
async def session(suite: Suite) -> AsyncIterator[Lines]:
    """A connection to an intake."""
    await suite.start_intake(order_handler="tests.support.kitchens:fussy", max_attempts=1)
    async with suite.connect("server_port") as lines:
        yield lines


async def events(session: Lines, *names: str) -> list[Any]:
    """The next events, which have to have these names."""
    found = [await session.read() for _ in names]
    assert [one.get("event") for one in found] == list(names)
    return found


async def orders_of(session: Lines) -> Any:
    return (await session.ask("get_global_stats"))["stats"]["pedidos"]


async def save(session: Lines, user: int, score: int) -> None:
    assert (await session.ask({"action": "save_score", "user_id": user, "puntaje": score}))["success"]


async def put(records: Lines, table: str, **item: Any) -> None:
    assert (await records.ask({"action": "put_item", "table": table, "item": item}))["success"]


def pickled(members: dict[str, Any], *, key: str = KEY, purpose: str = REQUEST) -> dict[str, Any]:
    """A request in a signed pickle."""
    made = Pickles(key.encode(), purpose=purpose, sender="test")
    return {"encoding": "pickle", "payload": serialize(members, "pickle_base64", pickles=made)}


async def test_first_score_of_zero_is_no_record_anywhere(service: Lines, records: Lines) -> None:
    await service.ask("subscribe scores,notifications")
    for score, record in ((0, False), (0, False), (7, True)):
        answer = await records.ask({"action": "save_score", "user_id": 1, "puntaje": score})
        assert answer["nuevo_record"] is record, score
    assert (await events(service, "score.saved", "score.saved", "score.record", "notification.added"))[2][
        "anterior"
    ] == 0
    below = await records.ask({"action": "save_score", "user_id": 2, "puntaje": -5})
    assert (below["nuevo_record"], below["puntaje_maximo"]) == (False, -5)
    assert (await events(service, "score.saved"))[0]["user_id"] == 2


async def test_corporate_data_is_told_of(service: Lines, records: Lines) -> None:
    await service.ask("subscribe records")
    await records.ask({"action": "set", "id": "X", "data": {"a": 1}})
    await records.ask("delete X")
    changed, deleted = await events(service, "record.changed", "record.deleted")
    assert (changed["id"], changed["version"], deleted["id"]) == ("X", 1, "X")


@pytest.mark.distributed(LOW_STOCK_USER=7)
async def test_alert_of_an_item_is_told_from_its_beginning_to_its_end(service: Lines, records: Lines) -> None:
    await service.ask("subscribe stock")
    alert: dict[str, Any] = {"store": "Berlin", "item": "Echo Dot", "count": 4, "threshold": 5, "number": 1}
    await put(records, "StockAlerts", **alert, state="open")
    await put(records, "StockAlerts", **{**alert, "count": 3}, state="open")
    await put(records, "StockAlerts", **{**alert, "count": 3}, state="acknowledged")
    await put(records, "StockAlerts", **{**alert, "count": 2}, state="acknowledged")
    await put(records, "StockAlerts", **{**alert, "count": 9}, state="closed")
    await put(records, "StockAlerts", **{**alert, "count": 1, "number": 2}, state="open")
    await put(records, "StockAlerts", **{**alert, "count": 8, "number": 2}, state="closed")
    await records.ask({"action": "delete_item", "table": "StockAlerts", "key": {"store": "Berlin", "item": "Echo Dot"}})
    await put(records, "StockAlerts", store="Bonn", item="Kindle", count=0, threshold=5, number=1, state="open")
    names = ("stock.low", "stock.acknowledged", "stock.recovered", "stock.low", "stock.recovered", "stock.low")
    found = await events(service, *names)
    assert [(one["count"], one["number"]) for one in found] == [(4, 1), (3, 1), (9, 1), (1, 2), (8, 2), (0, 1)]
    assert {name: found[0][name] for name in ("store", "item", "threshold")} == {
        "store": "Berlin",
        "item": "Echo Dot",
        "threshold": 5,
    }
    told = (await service.ask("notifications 7"))["notifications"]
    assert {one["type"] for one in told} == {"warning"}
    assert [one["message"] for one in told] == [
        "Low stock: Bonn, Kindle: 0 left (below 5)",
        "Low stock: Berlin, Echo Dot: 1 left (below 5)",
        "Low stock: Berlin, Echo Dot: 4 left (below 5)",
    ]


async def test_import_is_told_of_when_it_is_applied_and_when_it_is_undone(service: Lines, records: Lines) -> None:
    await service.ask("subscribe stock")
    for state in ("staged", "accepted", "applied", "applied", "undoing", "undone"):
        await put(records, "StockImports", id="i1", name="berlin.csv", rows=10, state=state, source="cli")
    await put(records, "StockImports", id="i2", name="bonn.csv", rows=3, state="applied", source="http")
    found = await events(service, *["stock.imported"] * 3)
    assert [(one["id"], one["name"], one["rows"], one["state"]) for one in found] == [
        ("i1", "berlin.csv", 10, "applied"),
        ("i1", "berlin.csv", 10, "undone"),
        ("i2", "bonn.csv", 3, "applied"),
    ]


async def test_notifications_are_paged_and_marked_as_read(service: Lines) -> None:
    for number in range(5):
        added = {"action": "add_notification", "user_id": 1, "message": f"m{number}", "type": "warning"}
        assert (await service.ask(added))["id"] == number + 1
    page = await service.ask({"action": "get_notifications", "user_id": 1, "limit": 2})
    assert [one["message"] for one in page["notifications"]] == ["m4", "m3"]
    page = await service.ask({"action": "get_notifications", "user_id": 1, "limit": 10, "cursor": page["cursor"]})
    assert ([one["message"] for one in page["notifications"]], page["cursor"]) == (["m2", "m1", "m0"], None)
    assert (await service.ask({"action": "mark_read", "user_id": 1, "ids": [1, 2]}))["marcadas"] == 2
    unread = await service.ask({"action": "get_notifications", "user_id": 1, "unread": True})
    assert ([one["id"] for one in unread["notifications"]], unread["no_leidas"]) == ([5, 4, 3], 3)
    assert (await service.ask("mark_read 1"))["marcadas"] == 3
    assert (await service.ask("notifications 1"))["no_leidas"] == 0


async def test_notifications_of_everybody_are_the_last_ten_oldest_first(service: Lines) -> None:
    for number in range(12):
        added = await service.ask({"action": "add_notification", "user_id": number % 3, "message": f"m{number}"})
        assert (added["id"], added["message"]) == (number + 1, "Notification added")
    # As the programs send it that know no other form.
    service.send('{"action": "get_notifications"}\n')
    page = await service.read()
    assert [(one["user_id"], one["message"]) for one in page["notifications"]] == [
        (number % 3, f"m{number}") for number in range(2, 12)
    ]
    assert page["no_leidas"] is None
    rest = await service.ask(
        {"action": "get_notifications", "user_id": None, "order": "newest", "cursor": page["cursor"]}
    )
    assert ([one["message"] for one in rest["notifications"]], rest["cursor"]) == (["m1", "m0"], None)
    assert (await service.ask("notifications"))["notifications"] == page["notifications"]
    own = await service.ask({"action": "get_notifications", "user_id": 1, "limit": 2, "order": "oldest"})
    assert [(one["user_id"], one["message"]) for one in own["notifications"]] == [(1, "m7"), (1, "m10")]
    refused = await service.ask({"action": "get_notifications", "unread": True})
    assert (refused["error"], refused["field"]) == ("invalid_params", "unread")


async def test_notifications_of_others_cannot_be_marked(service: Lines) -> None:
    await service.ask({"action": "add_notification", "user_id": 1, "message": "mine"})
    await service.ask({"action": "add_notification", "user_id": 2, "message": "theirs"})
    answer = await service.ask({"action": "mark_read", "user_id": 2, "ids": [2, 1]})
    assert (answer["error"], answer["field"]) == ("not_found", "ids")
    assert [(await service.ask(f"notifications {user}"))["no_leidas"] for user in (1, 2)] == [1, 1]


@pytest.mark.distributed(MAX_NOTIFICATIONS=3)
async def test_of_each_user_the_last_notifications_are_kept(service: Lines) -> None:
    for number in range(5):
        await service.ask({"action": "add_notification", "user_id": 1, "message": f"m{number}"})
    await service.ask({"action": "add_notification", "user_id": 2, "message": "other"})
    assert [one["message"] for one in (await service.ask("notifications 1"))["notifications"]] == ["m4", "m3", "m2"]
    assert len((await service.ask("notifications 2"))["notifications"]) == 1


async def test_observer_goes_on_behind_what_it_has_seen(service: Lines, suite: Suite) -> None:
    for number in range(3):
        await service.ask({"action": "add_notification", "user_id": number, "message": "m"})
    async with suite.connect(SERVER) as late:
        assert (await late.ask({"action": "subscribe", "topics": ["notifications"], "since": 1}))["since"] == 1
        assert [one["seq"] for one in await events(late, *["notification.added"] * 2)] == [2, 3]
        await service.ask({"action": "add_notification", "user_id": 9, "message": "m"})
        assert (await events(late, "notification.added"))[0]["seq"] == 4
        assert (await late.ask("unsubscribe"))["topics"] == []
        await service.ask({"action": "add_notification", "user_id": 9, "message": "m"})
        assert (await late.ask("ping"))["pong"]


async def test_observers_choose_by_customer_order_and_user(service: Lines, suite: Suite, session: Lines) -> None:
    async with suite.connect(SERVER) as customer, suite.connect(SERVER) as user:
        await customer.ask({"action": "subscribe", "topics": ["orders"], "cliente": "Zoe"})
        await user.ask({"action": "subscribe", "topics": ["notifications", "orders"], "user_id": 5})
        await session.ask(ORDER)
        order = (await session.ask({**ORDER, "cliente": "Zoe"}))["id"]
        found = await events(customer, "order.accepted", "order.started", "order.finished")
        assert {one["id"] for one in found} == {order}
        for number in (4, 5):
            await service.ask({"action": "add_notification", "user_id": number, "message": "m"})
        assert (await events(user, "notification.added"))[0]["user_id"] == 5
        assert (await service.ask({"action": "subscribe", "topics": "orders", "id": order.upper(), "since": 0}))[
            "since"
        ] == 0
        assert {one["id"] for one in await events(service, "order.accepted", "order.started", "order.finished")} == {
            order
        }


@pytest.mark.intake(ORDER_HANDLER="tests.support.kitchens:fussy", MAX_ATTEMPTS=1)
async def test_observers_choose_events_by_name(service: Lines, suite: Suite, session: Lines) -> None:
    chosen = {"action": "subscribe", "topics": ["orders", "notifications"], "events": ["order.failed"]}
    assert (await service.ask(chosen))["topics"] == ["notifications", "orders"]
    await session.ask(ORDER)
    async with suite.connect(SERVER) as other:
        await other.ask({"action": "add_notification", "user_id": 1, "message": "m"})
    failed = (await session.ask({**ORDER, "cliente": "fails"}))["id"]
    assert (await events(service, "order.failed"))[0]["id"] == failed
    async with suite.connect(SERVER) as late:
        await late.wait_until("health", "eventos", 7)
        assert (await late.ask({**chosen, "since": 0}))["since"] == 0
        assert (await events(late, "order.failed"))[0]["id"] == failed
        await session.ask({**ORDER, "cliente": "fails"})
        await events(late, "order.failed")
        await events(service, "order.failed")


async def test_client_chooses_events_by_name(suite: Suite) -> None:
    await suite.start_distributed()
    async with suite.distributed() as client:
        chosen = client.observe(["notifications", "orders"], events=["notification.added"], since=0)
        await client.add_notification(1, "hola")
        assert [(await anext(chosen))["event"] for _ in range(2)] == ["connected", "notification.added"]
        with pytest.raises(Refused) as refused:
            await anext(client.subscribe(["orders"], events=["order.fail"]))
        assert (refused.value.error, refused.value.field) == ("invalid_params", "events")


@pytest.mark.distributed(MAX_EVENTS=10)
async def test_events_that_are_not_kept_are_named(service: Lines) -> None:
    for number in range(40):
        await service.ask({"action": "add_notification", "user_id": number, "message": "m"})
    service.send('{"action":"subscribe","topics":["notifications"],"since":2}\n')
    assert (await service.read())["since"] == 2
    gap = await service.read()
    assert (gap["event"], gap["from"]) == ("gap", 3)
    first = await service.read()
    assert first["seq"] == gap["to"] + 1 == gap["missed"] + 3
    assert first["seq"] > 25


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        ({"action": "subscribe", "topics": ["ordrs"]}, "invalid_params", "topics"),
        ({"action": "subscribe", "topics": []}, "invalid_params", "topics"),
        ({"action": "subscribe", "topics": ["orders"], "since": 1}, "invalid_params", "since"),
        ({"action": "subscribe", "topics": ["orders"], "events": ["order.faild"]}, "invalid_params", "events"),
        ({"action": "subscribe", "topics": ["orders"], "events": ["score.saved"]}, "invalid_params", "events"),
        ({"action": "subscribe", "topics": ["orders"], "events": []}, "invalid_params", "events"),
        ({"action": "subscribe", "topics": ["orders"], "since": -1}, "invalid_params", "since"),
        ({"action": "add_notification", "user_id": 1, "message": "x" * 1001}, "invalid_params", "message"),
        ({"action": "add_notification", "user_id": 1, "message": ""}, "invalid_params", "message"),
        ({"action": "add_notification", "user_id": 1, "message": "x", "type": "loud"}, "invalid_params", "type"),
        ({"action": "add_notification", "user_id": "1", "message": "x"}, "invalid_params", "user_id"),
        ({"action": "get_user_stats"}, "invalid_params", "user_id"),
        ({"action": "get_user_stats", "user_id": 1, "odd": 1}, "invalid_params", "odd"),
        ({"action": "get_user_stat", "user_id": 1}, "unknown_action", "action"),
        ({"cliente": "Ana"}, "invalid_params", None),
    ],
)
async def test_what_is_wrong_is_refused_and_the_session_goes_on(
    service: Lines, request_: dict[str, Any], error: str, field: str | None
) -> None:
    answer = await service.ask({**request_, "request_id": "r"})
    assert (answer["error"], answer.get("field"), answer["request_id"]) == (error, field, "r")
    assert (await service.ask("ping"))["pong"]
    assert (await service.ask("health"))["eventos"] == 0


@pytest.mark.distributed(PICKLE_KEY=KEY)
async def test_request_in_a_pickle_is_answered_in_one(service: Lines) -> None:
    answers = Pickles(KEY.encode(), purpose=ANSWER, sender="test")

    async def ask(members: dict[str, Any]) -> Any:
        answer = await service.ask(pickled(members))
        assert answer["encoding"] == "pickle"
        return deserialize(answer["payload"], "pickle_base64", pickles=answers)

    assert (await ask({"action": "add_notification", "user_id": 1, "message": "hola", "request_id": 5}))[
        "request_id"
    ] == 5
    assert (await ask({"action": "get_notifications", "user_id": 1}))["notifications"][0]["message"] == "hola"
    assert (await ask({"action": "get_user_stats", "user_id": 1}))["error"] == "not_found"
    assert (await ask({"action": "get_global_stats"}))["stats"]["total_usuarios"] == 0


@pytest.mark.distributed(PICKLE_KEY=KEY)
async def test_forged_replayed_and_reflected_pickles_are_refused_and_nothing_is_done(service: Lines) -> None:
    good = {"action": "add_notification", "user_id": 1, "message": "hola"}
    once = pickled(good)
    assert (await service.ask(once))["success"]
    refused = [once, pickled(good, key=KEY[::-1]), pickled(good, purpose=ANSWER), {**pickled(good), "payload": "AAAA"}]
    assert [(await service.ask(request))["error"] for request in refused] == ["unauthorized"] * 4
    odd = [{**pickled(good), "encoding": "yaml"}, {"encoding": "pickle"}, {**pickled(good), "user_id": 2}]
    odd += [
        pickled({"action": "add_notification", "user_id": 1, "message": "\ud800"}),
        pickled({"action": "ping", "\ud800": 1}),
    ]
    odd += [{"encoding": "pickle", "payload": "?"}, pickled({"action": "add_notification"}), pickled({"user_id": 1})]
    assert {(await service.ask(request))["error"] for request in odd} == {"invalid_params"}
    assert (await service.ask("notifications 1"))["no_leidas"] == 1


@pytest.mark.distributed(PICKLE_KEY=KEY, MAX_DOCUMENT_BYTES=65_536)
async def test_an_answer_that_is_too_large_for_a_pickle_says_so(service: Lines) -> None:
    for number in range(80):
        await service.ask({"action": "add_notification", "user_id": 1, "message": f"{number}" * 500})
    asked = {"action": "get_notifications", "user_id": 1, "limit": 1000, "request_id": 7}
    answers = Pickles(KEY.encode(), purpose=ANSWER, sender="test")
    found = deserialize((await service.ask(pickled(asked)))["payload"].encode(), "pickle_base64", pickles=answers)
    assert (found["error"], found["request_id"]) == ("invalid_params", 7)
    assert "limit" in found["hint"]
    assert (await service.ask("ping"))["pong"]


async def test_pickles_are_off_without_a_key(service: Lines) -> None:
    answer = await service.ask(pickled({"action": "ping"}))
    assert (answer["error"], answer["message"]) == ("invalid_params", "pickle is off")


async def test_scores_become_statistics_ranking_notifications_and_events(service: Lines, records: Lines) -> None:
    assert (await service.ask("subscribe scores,notifications"))["topics"] == ["notifications", "scores"]
    for user, score, names in (
        (1, 100, ("score.record", "notification.added")),
        (1, 40, ("score.saved",)),
        (2, 300, ("score.record", "notification.added")),
    ):
        await save(records, user, score)
        assert (await events(service, *names))[0]["user_id"] == user
    await put(records, "Users", user_id=1, nombre="Ana", email="a@b.es")
    await service.wait_until("get_user_stats 1", "stats.nombre", "Ana")
    one = (await service.ask("get_user_stats 1"))["stats"]
    assert (one["puntaje_maximo"], one["partidas"], one["posicion"]) == (100, 2, 2)
    stats = (await service.ask("get_global_stats"))["stats"]
    assert (stats["total_usuarios"], stats["puntaje_promedio"], stats["puntaje_maximo_global"]) == (2, 200.0, 300)
    assert abs(datetime.fromisoformat(stats["timestamp"]).timestamp() - time.time()) < PATIENCE
    assert [(row["posicion"], row["user_id"]) for row in stats["ranking"]] == [(1, 2), (2, 1)]


async def test_orders_become_counts_times_products_and_events(service: Lines, session: Lines) -> None:
    await service.ask("subscribe orders")
    order = (await session.ask(ORDER))["id"]
    found = await events(service, "order.accepted", "order.started", "order.finished")
    assert {(one["id"], one["cliente"]) for one in found} == {(order, "Ana")}
    await session.ask({**ORDER, "cliente": "fails"})
    failed = (await events(service, "order.accepted", "order.started", "order.failed"))[-1]
    await session.ask(f"cancel {failed['id']}")
    await events(service, "order.cancelled")
    orders = await orders_of(service)
    assert (orders["aceptados"], orders["por_estado"]["listo"], orders["por_estado"]["cancelado"]) == (2, 1, 1)
    assert orders["por_minuto"][0]["terminados"] >= 1
    assert orders["espera_ms"]["p95"] is not None
    assert {row["producto"]: row["unidades"] for row in orders["productos"]} == {"pan": 2, "agua": 6}


async def test_what_happened_meanwhile_is_caught_up_with(suite: Suite, records: Lines, session: Lines) -> None:
    await suite.start_distributed()
    async with suite.connect(SERVER) as service:
        await save(records, 1, 10)
        await service.wait_until("health", "eventos", 2)
    await suite.stop(SERVER)
    await save(records, 1, 20)
    await session.ask(ORDER)
    await session.wait_until("stats", "stats.abiertos", 0)
    await suite.start_distributed()
    async with suite.connect(SERVER) as service:
        await service.ask({"action": "subscribe", "topics": ["orders", "scores"], "since": 2})
        found = {(await service.read())["event"] for _ in range(4)}
        assert found == {"order.accepted", "order.started", "order.finished", "score.record"}
        assert (await service.ask("get_user_stats 1"))["stats"]["partidas"] == 2


async def test_scores_are_read_anew_where_their_changes_are_gone(suite: Suite, records: Lines) -> None:
    for user in range(3):
        await save(records, user, user * 10)
    suite.records.forgotten = 2
    await suite.start_distributed()
    async with suite.connect(SERVER) as service:
        await service.wait_until("stats", "stats.total_usuarios", 3)
        assert (await service.ask("get_user_stats 0"))["stats"]["posicion"] == 3
        assert (await service.ask("health"))["eventos"] == 0


async def test_relay_that_cannot_read_says_so_and_tries_again(
    suite: Suite, service: Lines, records: Lines, log: list[MutableMapping[str, Any]]
) -> None:
    suite.records.failing_feed = StoreError("busy")
    await pass_time_until(lambda: [entry for entry in log if entry.get("reason") == "busy"])
    assert (await service.ask("health"))["status"] == "degraded"
    suite.records.failing_feed = None
    await save(records, 1, 10)
    await service.wait_until("stats", "stats.total_usuarios", 1)
    assert (await service.ask("health"))["status"] == "ok"


async def test_slow_observer_is_told_what_it_missed(suite: Suite) -> None:
    await suite.start_distributed(max_unread_bytes=4096)
    async with suite.connect(SERVER) as slow, suite.connect(SERVER) as service:
        await slow.ask("subscribe notifications")
        slow.stop_reading()
        added = json.dumps({"action": "add_notification", "user_id": 1, "message": "x" * 500}) + "\n"
        # More than the buffers of the connection hold.
        service.send(added * 300)
        for _ in range(300):
            assert (await service.read())["success"]
        slow.resume_reading()
        await asyncio.sleep(0.1)
        await service.ask(added.rstrip())
        last = 0
        while (event := await slow.read())["event"] != "gap":
            assert event["seq"] == last + 1
            last = event["seq"]
        assert (await slow.read())["seq"] == last + event["missed"] + 1 == 301
