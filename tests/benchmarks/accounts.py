"""Accounts: three hundred sign-ins at once beside other requests, and what a bearer token adds to a GET."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests.benchmarks.events import memory_mb
from tests.benchmarks.gateway import Gateway, Persistence, get, post

_SIGN_INS = 300
_PROBE_SECONDS = 0.005
_REQUESTS = 1500
_ROUNDS = 5
_PASSWORD = "siete gatos verdes"
_PERSON = {"email": "ana@example.com", "password": _PASSWORD, "first_name": "Ana", "last_name": "Paz"}
_TICKS = os.sysconf("SC_CLK_TCK")


class AccountFigures(NamedTuple):
    """What was measured."""

    sign_ins_per_second: float
    """Of the sign-ins that were not refused."""
    refused: int
    """Sign-ins of 300 that got 503."""
    refused_p99_ms: float
    lookup_p99_ms: float
    """Of a task that is looked at every 5 ms meanwhile."""
    health_max_ms: float
    """The longest answer of `GET /health` meanwhile, which the event loop gives by itself."""
    memory_mb: float
    """Growth of the gateway's memory."""
    anonymous_us: float
    """CPU of the gateway for a GET without credentials."""
    bearer_us: float
    """The same with an access token."""


class _DevPersistence(Persistence):
    """Opens the tables of accounts without a token."""

    def __init__(self) -> None:
        super().__init__(Path())
        self._data = self.folder / "data"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "STAGE": "dev"}


class _Answer(NamedTuple):
    status: int
    seconds: float


class _Connection:
    """A connection that is kept alive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> _Answer:
        """Sends a request; returns the status and the time of its answer."""
        began = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length or b"0"))
        return _Answer(int(head.split(b" ", 2)[1]), time.perf_counter() - began)

    def close(self) -> None:
        """Closes it."""
        self._writer.close()


def accounts() -> AccountFigures:
    """Measures all of it."""
    with _suite() as server:
        task = post(server.port, "/tasks", {"title": "Buy bread"})["id"]
        registered = post(server.port, "/api/v1/users/register", _PERSON)
        post(server.port, f"/api/v1/users/{registered['user_id']}/role", {"role": "viewer"}, method="PUT")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            flood = runner.run(_flood(server, f"/tasks/{task}"))
            anonymous, bearer = runner.run(_compare(server, f"/tasks/{task}", registered["token"]))
    return AccountFigures(*flood, anonymous, bearer)


@contextlib.contextmanager
def _suite() -> Iterator[Gateway]:
    with _DevPersistence().running() as persistence, Gateway(persistence, persistence, persistence).running() as found:
        # The intake and the distributed service are not needed.
        while not get(found.port, "/tasks?limit=1").startswith(b'{"tasks"'):
            time.sleep(0.05)
        yield found


async def _flood(server: Gateway, path: str) -> tuple[float, int, float, float, float, float]:
    assert server.process is not None
    pid = server.process.pid
    connections = [await _connect(server.port) for _ in range(_SIGN_INS)]
    requests = [_sign_in(f"user{number}@example.com") for number in range(_SIGN_INS)]
    before, peak = memory_mb(pid), 0.0
    ended = asyncio.Event()

    async def probe(request: bytes) -> list[float]:
        nonlocal peak
        connection, took = await _connect(server.port), []
        while not ended.is_set():
            took.append((await connection.ask(request)).seconds * 1000)
            peak = max(peak, memory_mb(pid))
            await asyncio.sleep(_PROBE_SECONDS)
        connection.close()
        return sorted(took)

    probes = [asyncio.create_task(probe(_get(one))) for one in (path, "/health")]
    await asyncio.sleep(0.2)
    began = time.perf_counter()
    answers = await asyncio.gather(*(one.ask(sent) for one, sent in zip(connections, requests, strict=True)))
    seconds = time.perf_counter() - began
    await asyncio.sleep(0.2)
    ended.set()
    lookups, health = [await one for one in probes]
    for connection in connections:
        connection.close()
    refused = sorted(answer.seconds * 1000 for answer in answers if answer.status == 503)
    checked = sum(answer.status == 401 for answer in answers)
    if checked + len(refused) != _SIGN_INS:
        raise RuntimeError(f"statuses: {sorted({answer.status for answer in answers})}")
    return (
        checked / seconds,
        len(refused),
        refused[len(refused) * 99 // 100],
        lookups[len(lookups) * 99 // 100],
        health[-1],
        peak - before,
    )


async def _compare(server: Gateway, path: str, token: str) -> tuple[float, float]:
    """Returns the CPU of a GET without and with a token, in microseconds: the medians of alternating rounds."""
    assert server.process is not None
    connection = await _connect(server.port)
    kinds = (_get(path), _get(path, f"Authorization: Bearer {token}\r\n"))
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for request, found in zip(kinds, took, strict=True):
            before = _cpu_seconds(server.process.pid)
            for _ in range(_REQUESTS):
                answer = await connection.ask(request)
                if answer.status != 200:
                    raise RuntimeError(f"status {answer.status}")
            found.append((_cpu_seconds(server.process.pid) - before) / _REQUESTS * 1_000_000)
    connection.close()
    anonymous, bearer = (sorted(found)[_ROUNDS // 2] for found in took)
    return anonymous, bearer


async def _connect(port: int) -> _Connection:
    return _Connection(*await asyncio.open_connection("127.0.0.1", port))


def _get(path: str, header: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()


def _sign_in(email: str) -> bytes:
    body = json.dumps({"email": email, "password": _PASSWORD}).encode()
    head = "POST /api/v1/users/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _cpu_seconds(pid: int) -> float:
    """CPU of a process so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
