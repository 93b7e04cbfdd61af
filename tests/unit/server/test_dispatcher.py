"""The request kernel: order of answers, group commit, deadlines and faults, without sockets."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from shared.domain.errors import NotFound, StoreError
from shared.net.connection import Connection
from shared.net.limits import LimitSettings
from shared.net.server import TcpServer
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import ActionRegistry, Followed, Members, ParsedRequest, Request, Verb
from shared.server.common import CommonServer, Help, declare_common
from shared.server.dispatcher import Dispatcher, Entry, Postponed, Result, run_handler
from shared.server.parser import RequestParser

ACTIONS: "ActionRegistry[Server]" = ActionRegistry()


class Server(CommonServer):
    """What the handlers of these tests work with."""

    def __init__(self) -> None:
        super().__init__(ServerMetrics())
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.begun = asyncio.Event()
        self.commits: list[list[int]] = []
        self.error: StoreError | None = None

    def describe_health(self) -> Members:
        return {"status": "ok"}


class Write(Request, frozen=True, tag="write"):
    value: int


@ACTIONS.batched(Write, usage=[("write", "writes a number")])
def write(server: Server, request: Write, values: list[int]) -> Members:
    values.append(request.value)
    return {"wrote": request.value}


class Heavy(Request, frozen=True, tag="heavy"):
    value: int


@ACTIONS.batched(Heavy, weigh=lambda request: request.value)
def write_heavy(server: Server, request: Heavy, values: list[int]) -> Members:
    values.append(request.value)
    return {"wrote": request.value}


class Read(Request, frozen=True, tag="read"):
    size: int = 1


@ACTIONS.batched(Read, verb=Verb("size"), reads=True, is_page=lambda request: request.size > 1)
def read(server: Server, request: Read) -> Members:
    return {"read": sum(len(one) for one in server.commits)}


class Slow(Request, frozen=True, tag="slow"):
    gate: str = "a"


@ACTIONS.aside(Slow, verb=Verb("gate"))
async def slow(server: Server, request: Slow, connection: Connection) -> Members:
    server.begun.set()
    await server.gates[request.gate].wait()
    return {"slow": request.gate}


class Fail(Request, frozen=True, tag="fail"):
    known: bool = False


@ACTIONS.immediate(Fail)
def fail(server: Server, request: Fail, connection: Connection) -> Members:
    raise NotFound("there is nothing") if request.known else ZeroDivisionError("a fault")


class Follow(Request, frozen=True, tag="follow"):
    pass


@ACTIONS.immediate(Follow, verb=Verb())
def follow(server: Server, request: Follow, connection: Connection) -> Followed:
    return Followed({"following": True}, lambda: connection.send(b'{"event":"first"}\n'))


declare_common(ACTIONS, Request, Help(10))


class Batch:
    """Implements `TurnBatch`: one commit a turn."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.forgotten: list[Connection] = []
        self.ended = 0

    async def carry_out(self, entries: Sequence[Entry], now: float) -> Sequence[Result]:
        values: list[int] = []
        results: list[Result] = []
        for _, item, _ in entries:
            if isinstance(item, ParsedRequest) and item.action.name in ("write", "heavy"):
                results.append(self.server.error or run_handler(item, self.server, item.request, values))
            else:
                results.append(None)
        if values:
            self.server.commits.append(values)
        for place, (_, item, _) in enumerate(entries):
            if isinstance(item, ParsedRequest) and item.action.name == "read":
                postpones = item.request.size < 0 and self.ended < -item.request.size
                results[place] = Postponed(item) if postpones else run_handler(item, self.server, item.request)
        return results

    def end_turn(self) -> None:
        self.ended += 1

    def forget(self, connection: Connection) -> None:
        self.forgotten.append(connection)


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.writes = 0
        self.ended = False

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def write_eof(self) -> None:
        self.ended = True

    close = abort = write_eof

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 5) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Client:
    """A connection of the server, and what it has answered."""

    def __init__(self, tcp: TcpServer) -> None:
        self._transport = Transport()
        self.connection = Connection(tcp, asyncio.get_running_loop())
        self.connection.connection_made(self._transport)  # type: ignore[arg-type]

    def send(self, *lines: str | dict[str, Any]) -> None:
        texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
        self.connection.data_received("".join(f"{text}\n" for text in texts).encode())

    @property
    def answers(self) -> list[Any]:
        return [json.loads(text) for text in self._transport.written.splitlines()]

    @property
    def writes(self) -> int:
        return self._transport.writes

    @property
    def ended(self) -> bool:
        return self._transport.ended

    async def receive(self, number: int) -> list[Any]:
        """So many answers from the first one on, without those that come later."""
        while len(self.answers) < number:
            await asyncio.sleep(0)
        return self.answers[:number]


class Bench:
    """A dispatcher at work."""

    def __init__(self) -> None:
        self.server = Server()
        self.batch = Batch(self.server)
        self.dispatcher = Dispatcher(
            self.server, RequestParser(ACTIONS), self.batch, self.server.metrics, turn_weight=4
        )
        self.tcp = TcpServer(self.dispatcher, LimitSettings().build_limits(document_bytes=1000, open_files=1000), None)

    def connect(self) -> Client:
        return Client(self.tcp)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    running = asyncio.create_task(made.dispatcher.run())
    yield made
    for gate in made.server.gates.values():
        gate.set()
    await made.dispatcher.close()
    await running


async def test_all_that_arrived_in_a_turn_is_one_commit(bench: Bench) -> None:
    one, two = bench.connect(), bench.connect()
    one.send({"action": "write", "value": 1}, {"action": "write", "value": 2})
    two.send({"action": "write", "value": 3, "request_id": "x"})
    assert await two.receive(1) == [{"success": True, "wrote": 3, "request_id": "x"}]
    assert [answer["wrote"] for answer in one.answers] == [1, 2]
    assert bench.server.commits == [[1, 2, 3]]


async def test_a_turn_ends_at_its_weight(bench: Bench) -> None:
    client = bench.connect()
    client.send(*[{"action": "write", "value": value} for value in range(6)])
    await client.receive(6)
    assert bench.server.commits == [[0, 1, 2, 3], [4, 5]]


async def test_a_turn_ends_behind_a_heavy_request(bench: Bench) -> None:
    client = bench.connect()
    client.send(*[{"action": "heavy", "value": value} for value in (1, 100, 1, 1)])
    await client.receive(4)
    assert bench.server.commits == [[1, 100], [1, 1]]


async def test_what_is_behind_a_postponed_request_waits_and_other_connections_do_not(bench: Bench) -> None:
    one, two = bench.connect(), bench.connect()
    one.send("read -3", "ping", "slow", {"action": "write", "value": 1}, "read")
    two.send({"action": "write", "value": 2}, "read")
    assert [answer.get("read") for answer in await two.receive(2)] == [None, 1]
    assert not one.answers
    bench.server.gates["a"].set()
    shown = [next(name for name in answer if name != "success") for answer in await one.receive(5)]
    assert shown == ["read", "pong", "slow", "wrote", "read"]
    assert bench.batch.ended > 3


async def test_the_answers_of_a_turn_are_one_write_to_each_connection_in_the_order_of_its_requests(
    bench: Bench,
) -> None:
    one, two = bench.connect(), bench.connect()
    one.send({"action": "write", "value": 1}, {"action": "write", "value": 2})
    two.send({"action": "write", "value": 3}, "ping", {"action": "write", "value": 4})
    await two.receive(2)
    assert [answer["wrote"] for answer in one.answers] == [1, 2]
    assert (one.writes, two.writes) == (1, 2)
    assert [answer.get("wrote") for answer in await two.receive(3)] == [3, None, 4]


async def test_answers_keep_their_order_behind_a_slow_one_and_other_connections_do_not_wait(bench: Bench) -> None:
    one, two = bench.connect(), bench.connect()
    one.send("slow", "ping", {"action": "write", "value": 1}, "nothing")
    two.send("ping", {"action": "write", "value": 2})
    await two.receive(2)
    assert not one.answers
    bench.server.gates["a"].set()
    answers = await one.receive(4)
    assert [next(name for name in answer if name != "success") for answer in answers] == [
        "slow",
        "pong",
        "wrote",
        "error",
    ]


async def test_a_read_does_not_see_what_is_written_behind_it(bench: Bench) -> None:
    client = bench.connect()
    client.send("read", {"action": "write", "value": 1}, "read")
    assert [answer.get("read") for answer in await client.receive(3)] == [0, None, 1]


async def test_a_page_is_alone_in_its_turn(bench: Bench) -> None:
    one, two = bench.connect(), bench.connect()
    one.send("read 2", "read 2")
    two.send({"action": "write", "value": 1})
    assert [answer["read"] for answer in await one.receive(2)] == [1, 1]
    assert len(two.answers) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_errors_and_faults_of_a_handler_are_answers(bench: Bench, known: bool) -> None:
    client = bench.connect()
    client.send({"action": "fail", "known": known, "request_id": 7})
    (answer,) = await client.receive(1)
    assert (answer["error"], answer["request_id"]) == ("not_found" if known else "internal_error", 7)
    assert "a fault" not in str(answer)
    client.send("metrics")
    *_, metrics = await client.receive(2)
    code = "not_found" if known else "internal_error"
    assert f'comanda_requests_total{{action="fail",outcome="{code}"}} 1.0' in metrics["metrics"]


async def test_what_the_store_refuses_is_answered_with_its_error(bench: Bench) -> None:
    bench.server.error = StoreError("the disk is full")
    client = bench.connect()
    client.send({"action": "write", "value": 1}, "ping")
    answers = await client.receive(2)
    assert (answers[0]["error"], answers[1]) == ("db_error", {"success": True, "pong": True})


async def test_what_waited_for_longer_than_its_deadline_is_not_begun(bench: Bench) -> None:
    client = bench.connect()
    client.send("slow", {"action": "write", "value": 1, "deadline_ms": 1}, {"action": "slow", "deadline_ms": 1})
    await bench.server.begun.wait()
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, bench.server.gates["a"].set)
    answers = await client.receive(3)
    assert [answer.get("error") for answer in answers] == [None, "deadline_exceeded", "deadline_exceeded"]
    assert not bench.server.commits


async def test_what_follows_an_answer_comes_behind_it(bench: Bench) -> None:
    client = bench.connect()
    client.send("follow")
    assert await client.receive(2) == [{"success": True, "following": True}, {"event": "first"}]


async def test_the_end_waits_for_what_is_answered_aside_and_what_is_behind_it(bench: Bench) -> None:
    client = bench.connect()
    client.send("slow", "slow b", "read")
    await bench.server.begun.wait()
    closing = asyncio.create_task(bench.dispatcher.close())
    bench.server.gates["b"].set()
    bench.server.gates["a"].set()
    await closing
    answers = await client.receive(3)
    assert [answer.get("slow", "read") for answer in answers] == ["a", "b", "read"]


async def test_a_connection_that_is_gone_is_forgotten(bench: Bench) -> None:
    client = bench.connect()
    client.connection.connection_lost(None)
    assert bench.batch.forgotten == [client.connection]


async def test_quit_ends_the_connection_behind_its_answer(bench: Bench) -> None:
    client = bench.connect()
    client.send("salir")
    assert await client.receive(1) == [{"success": True, "bye": True}]
    assert client.ended


def test_help_shows_every_declared_line_in_a_column() -> None:
    lines = ACTIONS.help_lines(10)
    assert lines[0] == "write     writes a number"
    assert "health, ping   is everything well?" in lines


def test_an_action_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="help is declared twice"):
        declare_common(ACTIONS, Request, Help(10))


async def test_what_a_connection_began_after_it_was_gone_is_forgotten_as_well(bench: Bench) -> None:
    client = bench.connect()
    client.send("slow")
    await bench.server.begun.wait()
    client.connection.connection_lost(None)
    assert len(bench.batch.forgotten) == 1
    bench.server.gates["a"].set()
    while len(bench.batch.forgotten) < 2:
        await asyncio.sleep(0)
    assert bench.batch.forgotten == [client.connection] * 2
