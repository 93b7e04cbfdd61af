"""What the clients make of a server that misbehaves."""

import asyncio
from collections.abc import Callable

import pytest

from clients.access import Target
from clients.blocking import BlockingIntakeClient
from clients.errors import AnswerTimeout, ConnectionLost, Refused, Unreachable
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from clients.tools.loadtest.generator import LoadGenerator
from clients.tools.loadtest.measurements import Measurements
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.workload import generate_workload
from tests.support.intake import PATIENCE
from tests.support.scripted import GREETING, Peer, scripted, well_behaved

ORDER = {"cliente": "a", "productos": ["x"], "direccion": "d"}
HOST = "127.0.0.1"


async def test_order_whose_answer_is_lost_is_sent_again_under_the_same_request_id() -> None:
    seen = []

    async def cut_after_reading(peer: Peer) -> None:
        peer.send(GREETING)
        seen.append((await peer.read())["request_id"])

    async with scripted(cut_after_reading, well_behaved) as port, IntakeClient(HOST, port, timeout=PATIENCE) as client:
        assert [(await client.order(ORDER)).id] == seen


async def test_what_is_not_safe_is_not_sent_again() -> None:
    async def cut_after_reading(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.read()

    calls: list[Callable[[IntakeClient], object]] = [
        lambda client: client.order(ORDER, add_request_id=False),
        lambda client: client.cancel("1"),
        lambda client: client.retry("1"),
        lambda client: client.request({"action": "ping"}),
    ]
    async with scripted(cut_after_reading) as port, IntakeClient(HOST, port, timeout=PATIENCE) as client:
        for call in calls:
            with pytest.raises(ConnectionLost):
                await call(client)  # type: ignore[misc]


async def test_everything_in_flight_survives_a_cut() -> None:
    async def cut_midway(peer: Peer) -> None:
        peer.send(GREETING)
        for _ in range(3):
            request = await peer.read()
            peer.send({"success": True, "id": request["request_id"], "estado": "en cola"})
        await peer.read()

    async with (
        scripted(cut_midway, cut_midway, well_behaved) as port,
        IntakeClient(HOST, port, timeout=PATIENCE) as client,
    ):
        orders = [{**ORDER, "request_id": f"r{number}"} for number in range(20)]
        accepted = await asyncio.gather(*(client.order(order) for order in orders))
    assert [one.id for one in accepted] == [f"r{number}" for number in range(20)]


async def test_silent_connection_is_given_up_and_another_one_serves() -> None:
    async def silent(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.gone()
        ended.set()

    ended = asyncio.Event()
    async with scripted(silent, well_behaved) as port, IntakeClient(HOST, port, timeout=0.1) as client:
        # It asks later than it was greeted.
        await asyncio.sleep(0.01)
        with pytest.raises(AnswerTimeout):
            await client.ping()
        await ended.wait()
        await client.ping()


async def test_lost_answer_is_not_said_to_be_unsent_when_the_server_stays_away() -> None:
    """Unreachable promises that nothing was sent."""

    async def read_only(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.read()
        read.set()
        await peer.gone()

    read = asyncio.Event()
    async with scripted(read_only) as port:
        client = IntakeClient(HOST, port, timeout=0.3)
        placing = asyncio.ensure_future(client.order(ORDER))
        await read.wait()
    with pytest.raises(ConnectionLost):
        await placing


async def test_full_server_is_asked_again_when_it_said() -> None:
    async def full_twice(peer: Peer) -> None:
        peer.send(GREETING)
        for _ in range(2):
            await peer.read()
            peer.send({"success": False, "error": "queue_full", "message": "full", "retry_after_ms": 1})
        await peer.answer_all()

    async with scripted(full_twice) as port, IntakeClient(HOST, port, timeout=PATIENCE, wait_for_room=True) as client:
        assert (await client.order({**ORDER, "request_id": "r"})).id == "r"
    async with scripted(full_twice) as port, IntakeClient(HOST, port, timeout=PATIENCE) as client:
        with pytest.raises(Refused) as caught:
            await client.order(ORDER)
    assert (caught.value.error, caught.value.retry_after_ms) == ("queue_full", 1)


async def test_following_goes_on_over_a_cut() -> None:
    states = iter(["en cola", "en proceso", "listo"])

    async def one_change_then_cut(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.read()
        peer.send({"success": True, "watching": "1"}, {"event": "order.started", "id": "1"})

    async def status(peer: Peer) -> None:
        peer.send(GREETING)
        while True:
            await peer.read()
            order = {"cliente": "a", "productos": ["x"], "direccion": "d", "prioridad": "normal"}
            order |= {"id": "1", "estado": next(states), "recibido": "2026-01-01T00:00:00Z"}
            peer.send({"success": True, "pedido": {**order, "intentos": 0}})

    async with scripted(status, one_change_then_cut) as port, IntakeClient(HOST, port, timeout=PATIENCE) as client:
        assert (await client.follow("1")).state == "listo"


def test_blocking_client_that_was_idle_for_too_long_connects_again() -> None:
    """It reads the server's farewell only with its next request already sent."""

    async def too_silent(peer: Peer) -> None:
        peer.send(GREETING, {"success": False, "error": "timeout", "message": "nothing was sent"})

    async def serve() -> None:
        async with scripted(too_silent, well_behaved) as port:
            await asyncio.to_thread(use, port)

    def use(port: int) -> None:
        with BlockingIntakeClient(HOST, port, timeout=PATIENCE) as client:
            assert client.order({**ORDER, "request_id": "r"}).id == "r"

    asyncio.run(serve())


async def test_server_that_does_not_greet_is_no_intake() -> None:
    async def other_protocol(peer: Peer) -> None:
        peer.send({"success": False, "error": "unavailable", "message": "12000 connections already"})

    async with scripted(other_protocol) as port:
        with pytest.raises(Unreachable, match="12000 connections already"):
            await IntakeClient(HOST, port).ping()


async def load(port: int, size: int, *, keyed: bool, connections: int = 1, check_seconds: float = 3.0) -> Measurements:
    """What a load test counts."""
    measure = Measurements()
    plan = Plan(connections, pipeline=8, orders=size)
    workload, target = generate_workload(keyed=keyed), Target(HOST, port)
    await LoadGenerator(workload, measure, plan, target=target, check_seconds=check_seconds).run()
    return measure


async def test_load_test_sends_again_what_was_in_flight_under_its_key() -> None:
    seen: list[str] = []

    async def cut_after_two(peer: Peer) -> None:
        peer.send(GREETING)
        for _ in range(2):
            seen.append((await peer.read())["request_id"])
            peer.send({"success": True, "id": seen[-1]})
        seen.append((await peer.read())["request_id"])

    async with scripted(cut_after_two, well_behaved) as port:
        measure = await load(port, 20, keyed=True, check_seconds=0.005)
    assert (measure.accepted, measure.unknown, measure.reconnections) == (20, 0, 1)
    assert len(set(measure.ids)) == 20
    assert measure.sent > 20
    assert seen[2] in measure.ids


async def test_load_test_counts_as_unknown_what_it_cannot_send_again() -> None:
    async def cut_at_once(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.read()

    async with scripted(cut_at_once, well_behaved) as port:
        measure = await load(port, 20, keyed=False)
    assert (measure.accepted, measure.unknown) == (12, 8)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"[]\n",
        b'{"success":false,"error":"timeout","message":"nothing was sent"}\n',
    ],
)
async def test_load_test_gives_up_a_connection_that_makes_no_sense(line: bytes) -> None:
    async def senseless(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.read()
        peer.send_raw(line + b'{"success":true,"id":"1"}\n')
        await peer.gone()

    async with scripted(senseless, well_behaved) as port:
        measure = await load(port, 20, keyed=True)
    assert (measure.accepted, measure.rejected, measure.reconnections) == (20, 0, 1)
    assert "1" not in measure.ids


async def test_load_test_comes_back_to_a_server_that_is_stopping() -> None:
    async def stopping(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.read()
        peer.send({"success": False, "error": "unavailable", "message": "the server is stopping"})
        await peer.answer_all()

    async with scripted(stopping) as port:
        measure = await load(port, 20, keyed=True)
    assert (measure.accepted, measure.refused["unavailable"], measure.sent) == (20, 1, 21)


async def test_load_test_tells_why_it_is_not_let_in() -> None:
    async def full(peer: Peer) -> None:
        peer.send({"success": False, "error": "unavailable", "message": "12000 connections already"})

    async with scripted(well_behaved, full) as port:
        with pytest.raises(Unreachable, match="12000 connections already"):
            await load(port, 20, keyed=True, connections=2)


async def test_load_test_gives_up_a_connection_that_owes_answers_and_keeps_silent() -> None:
    async def silent(peer: Peer) -> None:
        peer.send(GREETING)
        await peer.gone()

    async with scripted(silent, well_behaved) as port:
        measure = await load(port, 20, keyed=True, check_seconds=0.005)
    assert (measure.accepted, measure.unknown, measure.reconnections) == (20, 0, 1)


async def test_a_pair_of_items_is_asked_for_again_after_half_an_answer() -> None:
    async def answer_one(peer: Peer) -> None:
        await peer.read()
        peer.send({"success": True, "item": {"name": "old"}, "version": 1})

    async def answer_both(peer: Peer) -> None:
        for _ in range(2):
            request = await peer.read()
            peer.send({"success": True, "item": {"name": request["table"]}, "version": 1})
        await peer.gone()

    async with scripted(answer_one, answer_both) as port, PersistenceClient(HOST, port, timeout=PATIENCE) as client:
        found = await client.get_pair(("A", {"id": "1"}), ("B", {"id": "1"}))
    assert [one.item for one in found] == [{"name": "A"}, {"name": "B"}]
