"""The intake in this process: bytes in, bytes out, with workers that are tasks and a store in memory."""

import asyncio
import json
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import pytest

from clients.errors import Refused
from shared.domain.errors import StoreError
from tests.support.in_process import Suite
from tests.support.lines import Lines
from tests.support.orders import ORDER
from tests.support.simulation import pass_time_until

FUSSY = "tests.support.kitchens:fussy"
SERVER = "server_port"


async def place(lines: Lines, customer: str = "Ana", **members: Any) -> str:
    """Places an order; returns its id."""
    answer = await lines.ask({**ORDER, "cliente": customer, **members})
    assert answer["success"], answer
    return str(answer["id"])


async def reach(lines: Lines, order_id: str, state: str) -> Any:
    """Waits until an order is in a state; returns it."""

    async def look() -> Any:
        order = (await lines.ask(f"status {order_id}"))["pedido"]
        return order if order["estado"] == state else None

    return await pass_time_until(look)


def first_order_is_in(suite: Suite, attempt: int) -> bool:
    return suite.orders.orders[1].is_in(attempt)


# Orders.


async def test_greeting_tells_what_to_send_and_the_limits(suite: Suite) -> None:
    await suite.start_intake(max_pedidos_en_cola=7)
    async with suite.connect(SERVER) as lines:
        assert (lines.hello["event"], lines.hello["limits"]["open_orders"]) == ("hello", 7)


async def test_orders_of_one_segment_are_answered_in_their_order_and_done(suite: Suite) -> None:
    await suite.start_intake(processing_seconds=1.0)
    async with suite.connect(SERVER) as lines:
        lines.send("".join(json.dumps({**ORDER, "cliente": f"c{number}"}) + "\n" for number in range(50)))
        answers = [await lines.read() for _ in range(50)]
        assert [answer["posicion"] for answer in answers] == list(range(1, 51))
        for number in (0, 49):
            order = await reach(lines, answers[number]["id"], "listo")
            assert (order["cliente"], order["intentos"]) == (f"c{number}", 1)
        stats = (await lines.ask("stats"))["stats"]
        assert (stats["abiertos"], stats["aceptados"], stats["pedidos"]["listo"]) == (0, 50, 50)


async def test_array_has_one_answer_with_a_place_for_each_order(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        answers = await lines.ask([ORDER, {"cliente": "x"}, {**ORDER, "request_id": "k"}, {**ORDER, "request_id": "k"}])
        assert [answer["success"] for answer in answers] == [True, False, True, True]
        assert (answers[1]["error"], answers[1]["field"]) == ("invalid_params", "productos")
        assert (answers[3]["duplicate"], answers[3]["id"]) == (True, answers[2]["id"])


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ('{"cliente":"Ana"}', "invalid_params"),
        ('{"cliente":"Ana",}', "invalid_json"),
        ("{" * 40, "invalid_json"),
        ('{"action":"pingg"}', "unknown_action"),
        ('{"action":7}', "invalid_params"),
        ("pingg", "unknown_action"),
        ("status", "invalid_params"),
        ("ping now", "invalid_params"),
        ("status nobody", "not_found"),
        ('list "', "invalid_params"),
        ("list cursor=x", "invalid_params"),
        ("help nothing", "invalid_params"),
        ("[]", "invalid_params"),
    ],
)
async def test_request_that_is_wrong_gets_its_error_and_the_next_one_its_answer(
    suite: Suite, document: str, error: str
) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        lines.send(document + "\n")
        if error != "invalid_json" or document.endswith("}"):
            assert (await lines.read())["error"] == error
            assert (await lines.ask("ping"))["pong"]


async def test_same_key_is_the_same_order_and_another_order_a_conflict(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        first = await lines.ask({**ORDER, "request_id": "r"})
        again = await lines.ask({**ORDER, "request_id": "r"})
        other = await lines.ask({**ORDER, "cliente": "Eva", "request_id": "r"})
        assert (again["id"], again["duplicate"], again["request_id"]) == (first["id"], True, "r")
        assert (other["error"], other["id"]) == ("conflict", first["id"])


async def test_key_belongs_to_the_address_where_the_setting_says_so(suite: Suite) -> None:
    await suite.start_intake(request_id_scope="address")
    ids = []
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        async with suite.connect(SERVER, peer=peer) as lines:
            ids.append(await place(lines, request_id=1))
    assert ids[0] == ids[2] != ids[1]


async def test_bound_on_open_orders_is_exact_and_says_when_to_come_back(suite: Suite) -> None:
    await suite.start_intake(max_pedidos_en_cola=3, processing_seconds=5.0)
    async with suite.connect(SERVER) as lines:
        lines.send((json.dumps(ORDER) + "\n") * 5)
        answers = [await lines.read() for _ in range(5)]
        assert [answer.get("error") for answer in answers] == [None] * 3 + ["queue_full"] * 2
        assert (answers[3]["depth"], answers[3]["limit"]) == (3, 3)
        await reach(lines, answers[2]["id"], "listo")
        assert (await lines.ask(ORDER))["success"]


async def test_client_that_waits_for_room_gets_it(suite: Suite) -> None:
    await suite.start_intake(max_pedidos_en_cola=1, processing_seconds=2.0)
    async with suite.intake(wait_for_room=True) as patient, suite.intake() as other:
        await patient.order(ORDER)
        with pytest.raises(Refused) as refused:
            await other.order(ORDER)
        assert refused.value.error == "queue_full"
        assert (await patient.order(ORDER)).id


async def test_store_that_refuses_is_told_of_and_counts_nothing(
    suite: Suite, log: list[MutableMapping[str, Any]]
) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        suite.orders.failing = StoreError("the disk is full")
        assert (await lines.ask({**ORDER, "request_id": 5})) == {
            "success": False,
            "error": "db_error",
            "message": "the disk is full",
            "request_id": 5,
        }
        health = await lines.ask("health")
        assert (health["status"], health["store"]) == ("degraded", "the disk is full")
        assert (await lines.ask("status x"))["error"] == "db_error"
        suite.orders.failing = None
        await place(lines)
        assert (await lines.ask("health"))["status"] == "ok"
        assert (await lines.ask("stats"))["stats"]["aceptados"] == 1
    assert any(entry.get("reason") == "the disk is full" for entry in log)


async def test_full_disk_is_not_filled_by_the_log_of_refused_orders(
    suite: Suite, log: list[MutableMapping[str, Any]]
) -> None:
    await suite.start_intake()
    suite.orders.failing = StoreError("the disk is full")
    async with suite.connect(SERVER) as lines:
        for _ in range(200):
            assert (await lines.ask(ORDER))["error"] == "db_error"
    # Up to 20 in each of the seconds that this may take.
    assert 20 <= sum(entry["event"] == "orders_refused_by_store" for entry in log) <= 100


async def test_order_that_waited_longer_than_its_deadline_is_not_stored(suite: Suite) -> None:
    await suite.start_intake()
    suite.orders.accept_seconds = 1.0
    async with suite.connect(SERVER) as lines:
        lines.send(json.dumps(ORDER) + "\n")
        await asyncio.sleep(0.5)
        lines.send(json.dumps([{**ORDER, "deadline_ms": 100, "request_id": 1}, ORDER]) + "\n")
        lines.send(json.dumps({**ORDER, "deadline_ms": 9000}) + "\n")
        lines.send(json.dumps({"action": "list", "deadline_ms": 100}) + "\n")
        assert (await lines.read())["success"]
        late, stored = await lines.read()
        assert (late["error"], late["request_id"], stored["success"]) == ("deadline_exceeded", 1, True)
        assert (await lines.read())["success"]
        assert (await lines.read())["error"] == "deadline_exceeded"
    assert len(suite.orders.orders) == 3


# Actions.


async def test_every_verb_of_the_help_is_understood(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        assert any("list" in line for line in (await lines.ask({"action": "help"}))["help"])
        assert (await lines.ask({"action": "help", "topic": "order"}))["example"]
        assert any("list" in line for line in await lines.ask_help())
        assert "comanda_" in (await lines.ask("metrics"))["metrics"]
        assert (await lines.ask("PING"))["pong"]
        assert (await lines.ask({"action": "ping", "request_id": "x"}))["request_id"] == "x"
        assert (await lines.ask("salir"))["bye"]
        assert await lines.rest() == b""


async def test_order_is_explained_step_by_step(suite: Suite) -> None:
    await suite.start_intake(order_handler=FUSSY, retry_seconds=0.001)
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines, "fails once")
        await reach(lines, order_id, "listo")
        story = await lines.ask(f"explain {order_id}")
        assert [step["paso"] for step in story["pasos"]] == ["received", "stored", "queued", "started", "finished"]
        assert (story["intento"], story["worker"], len(story["errores"])) == (2, story["worker"], 1)
        assert story["errores"][0]["detalle"] == "RuntimeError: not yet"
        assert story["errores"][0]["lugar"].endswith("fussy")


async def test_lists_filter_and_pages_lead_on(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        ids = [await place(lines, customer) for customer in ("Ana", "Eva Paz", "ana", "Ana")]
        await reach(lines, ids[-1], "listo")
        assert [one["id"] for one in (await lines.ask("list"))["pedidos"]] == ids[::-1]
        assert [one["id"] for one in (await lines.ask('list listo cliente="EVA  paz"'))["pedidos"]] == [ids[1]]
        page = await lines.ask("list cliente=Ana limite=2")
        rest = await lines.ask({"action": "list", "cliente": "Ana", "limite": 2, "cursor": page["cursor"]})
        assert [one["id"] for one in page["pedidos"] + rest["pedidos"]] == [ids[3], ids[2], ids[0]]
        assert rest["cursor"] is None
        assert (await lines.ask("list desde=2100-01-01T00:00:00Z"))["pedidos"] == []
        assert (await lines.ask("list en_cola"))["pedidos"] == []


async def test_waiting_order_can_be_cancelled_and_a_running_one_cannot(suite: Suite) -> None:
    await suite.start_intake(worker_count=1, worker_concurrency=1, processing_seconds=600.0, order_timeout_seconds=9000)
    async with suite.connect(SERVER) as lines:
        running, held, waiting = [await place(lines) for _ in range(3)]
        await reach(lines, running, "en proceso")
        assert (await lines.ask(f"cancel {running}"))["estado"] == "en proceso"
        for order_id in (waiting, held):
            assert (await lines.ask(f"cancel {order_id}"))["estado"] == "cancelado"
            assert (await lines.ask(f"cancel {order_id}"))["error"] == "conflict"
        assert (await lines.ask("cancel nobody"))["error"] == "not_found"
        assert [one["id"] for one in (await lines.ask("list en_proceso"))["pedidos"]] == [running]
        await reach(lines, running, "listo")
        stats = (await lines.ask("stats"))["stats"]
        assert (stats["abiertos"], stats["pedidos"]["cancelado"]) == (0, 2)


async def test_failed_order_can_be_tried_again_or_discarded(suite: Suite) -> None:
    await suite.start_intake(order_handler=FUSSY, max_attempts=1)
    async with suite.connect(SERVER) as lines:
        one, other = await place(lines, "fails"), await place(lines, "rejected")
        assert (await reach(lines, one, "fallido"))["detalle"] == "RuntimeError: no flour"
        assert (await reach(lines, other, "fallido"))["detalle"] == "not in this house"
        assert (await lines.ask(f"retry {one}"))["estado"] == "en cola"
        await pass_time_until(lambda: suite.orders.orders[1].attempt == 2)
        await reach(lines, one, "fallido")
        assert (await lines.ask(f"cancel {other}"))["estado"] == "cancelado"
        assert (await lines.ask(f"retry {other}"))["error"] == "conflict"
        stats = (await lines.ask("stats"))["stats"]
        assert (stats["pedidos"]["fallido"], stats["pedidos"]["cancelado"], stats["abiertos"]) == (1, 1, 0)


async def test_retry_finds_no_room_where_none_is(suite: Suite) -> None:
    await suite.start_intake(order_handler=FUSSY, max_attempts=1, max_pedidos_en_cola=1, order_timeout_seconds=9000.0)
    async with suite.connect(SERVER) as lines:
        failed = await place(lines, "fails")
        await reach(lines, failed, "fallido")
        await place(lines, "never ends")
        assert (await lines.ask(f"retry {failed}"))["error"] == "queue_full"


# Watching.


async def test_watcher_sees_every_change_in_order_until_it_has_seen_enough(suite: Suite) -> None:
    await suite.start_intake(order_handler=FUSSY, retry_seconds=0.001)
    async with suite.connect(SERVER) as watcher, suite.connect(SERVER) as lines:
        assert (await watcher.ask("watch"))["watching"] == "all"
        order_id = await place(lines, "fails once")
        events = [await watcher.read() for _ in range(5)]
        assert [event["event"].removeprefix("order.") for event in events] == [
            "accepted",
            "started",
            "requeued",
            "started",
            "finished",
        ]
        assert {event["id"] for event in events} == {order_id}
        assert (await watcher.ask("unwatch"))["watching"] is None
        await place(lines)
        assert (await watcher.ask("ping"))["pong"]


async def test_watcher_of_one_order_sees_that_one(suite: Suite) -> None:
    await suite.start_intake(worker_count=1, worker_concurrency=1, processing_seconds=1.0)
    async with suite.connect(SERVER) as watcher, suite.connect(SERVER) as lines:
        first, second = await place(lines), await place(lines)
        assert (await watcher.ask(f"watch {second}"))["watching"] == second
        await place(lines)
        events = [await watcher.read() for _ in range(2)]
        assert [(event["id"], event["estado"]) for event in events] == [(second, "en proceso"), (second, "listo")]
        assert first != second
        assert (await lines.ask("watch nobody"))["error"] == "not_found"


async def test_requests_behind_a_slow_one_wait_for_it_and_keep_their_order(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines)
        await reach(lines, order_id, "listo")
        lines.send(f"list\nping\nstatus {order_id}\n{json.dumps(ORDER)}\nping\nlist limite=1\n")
        answers = [await lines.read() for _ in range(6)]
        assert "pedidos" in answers[0]
        assert answers[1]["pong"]
        assert answers[2]["pedido"]["id"] == order_id
        assert answers[3]["estado"] == "en cola"
        assert answers[4]["pong"]
        assert answers[5]["pedidos"][0]["id"] == answers[3]["id"]


# Workers.


async def test_dead_workers_orders_are_done_by_the_next(suite: Suite, log: list[MutableMapping[str, Any]]) -> None:
    await suite.start_intake(worker_count=1, processing_seconds=10.0)
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines)
        await reach(lines, order_id, "en proceso")
        suite.workers[0].kill()
        order = await reach(lines, order_id, "listo")
        assert order["intentos"] == 2
        assert (await lines.ask("stats"))["stats"]["abiertos"] == 0
    assert any(entry["event"] == "worker_died" and entry["orders"] == 1 for entry in log)


async def test_order_that_outlives_its_workers_is_given_up(suite: Suite) -> None:
    await suite.start_intake(worker_count=1, processing_seconds=1000.0, order_timeout_seconds=9000.0, max_rescues=1)
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines)
        for attempt in (1, 2):
            await pass_time_until(partial(first_order_is_in, suite, attempt))
            suite.workers[-1].kill()
        order = await reach(lines, order_id, "fallido")
        assert "died more than 1 times" in order["detalle"]
        assert (await lines.ask("stats"))["stats"]["pedidos"]["fallido"] == 1


async def test_worker_that_falls_silent_is_killed_after_its_lease(
    suite: Suite, log: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await suite.start_intake(worker_count=1, lease_seconds=2.0)
    async with suite.connect(SERVER) as lines:
        await pass_time_until(lambda: "w1" in str(log) or suite.workers)
        await reach(lines, await place(lines), "listo")
        monkeypatch.setattr("workers.worker.Worker._send_heartbeats", lambda _: asyncio.sleep(0))
        suite.workers[0].kill()
        await pass_time_until(lambda: len(suite.workers) == 2)
        # The second one says that it is ready, and nothing more.
        await pass_time_until(lambda: len(suite.workers) == 3)
    assert any(entry["event"] == "worker_unresponsive" for entry in log)


async def test_order_that_runs_for_too_long_is_ended(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    # The runner's time-out is by the clock of the machine.
    await suite.start_intake(order_handler=FUSSY, order_timeout_seconds=0.001, max_attempts=1)
    async with suite.connect(SERVER) as lines:
        order = await reach(lines, await place(lines, "never ends"), "fallido")
        assert order["detalle"] == "not finished within 0.001 s"


async def test_worker_keeps_results_until_the_store_takes_them(
    suite: Suite, log: list[MutableMapping[str, Any]]
) -> None:
    await suite.start_intake(processing_seconds=1.0)
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines)
        await reach(lines, order_id, "en proceso")
        suite.orders.failing = StoreError("busy")
        await pass_time_until(lambda: any(entry["event"] == "results_not_stored" for entry in log))
        suite.orders.failing = None
        await reach(lines, order_id, "listo")


async def test_urgent_orders_pass_those_that_wait(suite: Suite) -> None:
    await suite.start_intake(worker_count=1, worker_concurrency=1, processing_seconds=1.0)
    async with suite.connect(SERVER) as lines:
        ids = [await place(lines, prioridad=level) for level in ("normal", "normal", "baja", "normal", "alta")]
        for order_id in ids:
            await reach(lines, order_id, "listo")
        order = sorted(suite.orders.orders.values(), key=lambda one: (one.started, one.sequence))
        assert [one.sequence for one in order].index(5) < [one.sequence for one in order].index(3)


# Start and stop.


async def test_restart_takes_up_what_was_left_open(suite: Suite, log: list[MutableMapping[str, Any]]) -> None:
    await suite.start_intake(processing_seconds=1000.0, shutdown_seconds=1.0, order_timeout_seconds=9000.0)
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines)
        await reach(lines, order_id, "en proceso")
    await suite.stop(SERVER)
    assert suite.orders.orders[1].state == "en cola"
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        assert (await reach(lines, order_id, "listo"))["intentos"] == 2
    assert any(entry["event"] == "store_opened" and entry["recovered"] == 1 for entry in log)


async def test_stop_lets_what_runs_finish_and_refuses_new_orders(suite: Suite) -> None:
    await suite.start_intake(processing_seconds=3.0, shutdown_seconds=60.0)
    async with suite.connect(SERVER) as lines:
        order_id = await place(lines)
        await reach(lines, order_id, "en proceso")
        stopping = asyncio.create_task(suite.stop(SERVER))
        await asyncio.sleep(1)
        assert (await lines.ask(ORDER))["error"] == "unavailable"
        assert (await lines.ask("health"))["status"] == "stopping"
        assert await lines.rest() == b""
        lines.close()
        await stopping
    assert suite.orders.orders[1].state == "listo"


async def test_intake_with_an_open_port_in_development_warns(suite: Suite, log: list[MutableMapping[str, Any]]) -> None:
    await suite.start_intake(server_host="0.0.0.0", stage="dev")
    assert any(entry["event"] == "dev_stage_is_open_to_others" for entry in log)


# Connections.


async def test_silent_connection_is_told_and_closed_but_not_one_that_watches(suite: Suite) -> None:
    await suite.start_intake(idle_seconds=30.0)
    async with suite.connect(SERVER) as watcher, suite.connect(SERVER) as idle:
        watcher.send("\n")
        await watcher.ask("watch")
        assert (await idle.read())["error"] == "timeout"
        assert await idle.rest() == b""
        async with suite.connect(SERVER) as other:
            await place(other)
        assert (await watcher.read())["event"] == "order.accepted"


async def test_half_a_document_is_told_and_closed(suite: Suite) -> None:
    await suite.start_intake(stall_seconds=5.0)
    async with suite.connect(SERVER) as lines:
        lines.send('{"cliente":')
        assert (await lines.read())["error"] == "timeout"
        assert await lines.rest() == b""


async def test_document_without_a_newline_is_answered_and_the_stream_ended(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        lines.send(json.dumps(ORDER))
        assert (await lines.read())["success"]
        assert await lines.rest() == b""


async def test_client_that_ends_its_side_gets_every_answer_first(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines:
        lines.send((json.dumps(ORDER) + "\n") * 20 + "list")
        lines.end()
        answers = [json.loads(line) for line in (await lines.rest()).splitlines()]
        assert len(answers) == 21
        assert len(answers[-1]["pedidos"]) == 20


async def test_document_that_is_too_large_ends_the_connection(suite: Suite) -> None:
    await suite.start_intake(max_document_bytes=2000)
    async with suite.connect(SERVER) as lines:
        lines.send(json.dumps({**ORDER, "direccion": "x" * 5000}) + "\n" + json.dumps(ORDER) + "\n")
        answers = (await lines.rest()).splitlines()
        assert [json.loads(line)["error"] for line in answers] == ["too_large"]


async def test_connection_beyond_the_limit_is_told_why(suite: Suite) -> None:
    await suite.start_intake(max_connections=1, max_connections_per_address=1)
    async with suite.connect(SERVER, peer="192.0.2.1") as lines:
        await lines.ask("ping")
        async with suite.connect(SERVER, peer="192.0.2.1") as refused:
            assert refused.hello["error"] == "unavailable"


async def test_reader_that_never_reads_is_cut(suite: Suite) -> None:
    await suite.start_intake(max_unread_bytes=4096, stall_seconds=5.0)
    async with suite.connect(SERVER) as deaf, suite.connect(SERVER) as other:
        deaf.stop_reading()
        deaf.send("help\n" * 2000)
        await asyncio.sleep(20)
        assert (await other.ask("stats"))["stats"]["conexiones"] == 1


async def test_watcher_that_falls_behind_gets_a_gap_and_then_goes_on(suite: Suite) -> None:
    await suite.start_intake(max_unread_bytes=4096, stall_seconds=900.0)
    async with suite.connect(SERVER) as slow, suite.connect(SERVER) as lines:
        slow.send("\n")
        await slow.ask("watch")
        slow.stop_reading()
        lines.send((json.dumps(ORDER) + "\n") * 500)
        for _ in range(500):
            await lines.read()
        await lines.wait_until("stats", "stats.abiertos", 0)
        slow.resume_reading()
        # It has read what was there before it is told of more.
        await asyncio.sleep(0.1)
        order_id = await place(lines)
        seen = 0
        while "missed" not in (event := await slow.read()):
            seen += 1
        assert event == {"event": "gap", "missed": 1500 - seen}
        assert (await slow.read())["id"] == order_id
