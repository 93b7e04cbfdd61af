"""HTTP: orders and tasks by wrk, beside a FastAPI service; and a thousand clients that follow events."""

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import uvloop

from tests.benchmarks.events import Distributed, TimedEvent, memory_mb, until
from tests.benchmarks.peers import Comanda, FastApiService, Server

_CONNECTIONS = 64
_STREAMS = 1000
_ORDERS_PER_SECOND = 20
_TASK = {"title": "Buy bread", "description": "wholemeal, sliced", "completed": False}
_SCRIPT = """
local bodies, place = {}, 0
for line in io.lines("ORDERS") do bodies[#bodies + 1] = line end
request = function()
  place = place % #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, bodies[place])
end
"""


class Persistence(Server):
    """Ours, on the folder of an intake."""

    name = "persistence"

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.persistence", "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {"PYTHONPATH": root, "ENV_FILE": "/dev/null", "DATA_DIR": str(self._data)}


class Gateway(Server):
    """Ours, before the other three; like its peer it writes no line for each request."""

    name = "gateway"

    def __init__(self, intake: Server, persistence: Server, distributed: Server) -> None:
        super().__init__()
        self._ports = {
            "SERVER_PORT": str(intake.port),
            "TCP_PERSIST_PORT": str(persistence.port),
            "DISTRIBUTED_PORT": str(distributed.port),
        }

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.gateway", "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        settings = {"STAGE": "dev", "RATE_LIMIT": "none", "TENANT_LIMITS": "none", "LOG_LEVEL": "warning"}
        return {"PYTHONPATH": root, "ENV_FILE": "/dev/null", **settings, **self._ports}


class GatewayFigures(NamedTuple):
    """What was measured; a peer has no rounds where it is not installed."""

    orders: list[float]
    """Orders a second of each round."""
    orders_p99_ms: list[float]
    peer_orders: list[float]
    tasks: list[float]
    """Tasks looked at in a second."""
    tasks_p99_ms: list[float]
    peer_tasks: list[float]
    streams_mb: float
    """Memory that a thousand streams of events take."""
    stream_p50_ms: float
    stream_p99_ms: float
    """From the commit to the clients of the streams."""


def missing() -> str | None:
    """What has to be installed before this can be measured."""
    return None if shutil.which("wrk") else "wrk (the Debian package of that name)"


def gateway(rounds: int, seconds: float, orders: list[bytes]) -> GatewayFigures:
    """Measures all of it."""
    found: dict[str, list[float]] = {name: [] for name in GatewayFigures._fields[:6]}
    for _ in range(rounds):
        with _suite() as ours:
            path = post(ours.port, "/tasks", _TASK)["id"]
            rate, p99 = wrk(ours.port, "/api/v1/orders", seconds, orders)
            found["orders"].append(rate)
            found["orders_p99_ms"].append(p99)
            rate, p99 = wrk(ours.port, f"/tasks/{path}", seconds)
            found["tasks"].append(rate)
            found["tasks_p99_ms"].append(p99)
        if FastApiService.missing() is None:
            with FastApiService().running() as theirs:
                found["peer_orders"].append(wrk(theirs.port, "/orders", seconds, orders)[0])
                path = post(theirs.port, "/tasks", _TASK)["id"]
                found["peer_tasks"].append(wrk(theirs.port, f"/tasks/{path}", seconds)[0])
    return GatewayFigures(**found, **_streams(max(seconds, 5)))  # type: ignore[arg-type]


@contextlib.contextmanager
def _suite() -> Iterator[Gateway]:
    intake = Comanda()
    with intake.running(), contextlib.ExitStack() as stack:
        persistence = stack.enter_context(Persistence(intake.folder / "data").running())
        distributed = stack.enter_context(Distributed(intake.folder / "data").running())
        found = stack.enter_context(Gateway(intake, persistence, distributed).running())
        while json.loads(get(found.port, "/ready"))["status"] != "ok":
            time.sleep(0.05)
        yield found


def wrk(port: int, path: str, seconds: float, orders: Sequence[bytes] = ()) -> tuple[float, float]:
    """Requests a second, and the p99 of their time in milliseconds; raises for an answer that is no success."""
    words = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{max(round(seconds), 1)}s", "--latency"]
    if orders:
        folder = Path("/tmp" if not Path("/dev/shm").is_dir() else "/dev/shm")
        lines, script = folder / f"comanda-{port}.ndjson", folder / f"comanda-{port}.lua"
        lines.write_bytes(b"\n".join(orders) + b"\n")
        script.write_text(_SCRIPT.replace("ORDERS", str(lines)))
        words += ["-s", str(script)]
    told = subprocess.run([*words, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if orders:
        lines.unlink()
        script.unlink()
    return read_wrk(told)


def read_wrk(told: str) -> tuple[float, float]:
    """The rate and the p99 in the output of wrk; raises for an answer that is no success."""
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", told)
    assert rate is not None
    assert late is not None
    return float(rate[1]), float(late[1]) * {"us": 0.001, "ms": 1, "s": 1000}[late[2]]


class _Stream(asyncio.Protocol):
    """A client of the stream: hands on what comes."""

    def __init__(self, waits: list[float]) -> None:
        self._waits = waits
        self._decode = msgspec.json.Decoder(TimedEvent).decode
        self._rest = b""
        self.heard = False
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.time()
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            if b"retry:" in frame:
                self.heard = True
            elif (start := frame.find(b"data: ")) >= 0:
                self.events += 1
                moment = self._decode(frame[start + 6 :]).cuando
                assert moment is not None
                self._waits.append(now - moment.timestamp())


def _streams(seconds: float) -> dict[str, float]:
    """A thousand clients that follow all orders, at an even rate of orders with three events each."""
    with _suite() as server:
        assert server.process is not None
        pid = server.process.pid
        # Everything that is made once is made: one order, one stream.
        post(server.port, "/api/v1/orders", {"cliente": "x", "productos": ["pan"], "direccion": "y"})
        waits: list[float] = []

        async def run() -> float:
            loop = asyncio.get_running_loop()
            before = memory_mb(pid)
            streams = [
                (await loop.create_connection(lambda: _Stream(waits), "127.0.0.1", server.port))[1]
                for _ in range(_STREAMS)
            ]
            await until(lambda: all(stream.heard for stream in streams))
            began, sent = loop.time(), 0
            while (passed := loop.time() - began) < seconds:
                while sent < passed * _ORDERS_PER_SECOND:
                    order = {"cliente": f"c{sent}", "productos": ["pan"], "direccion": "y"}
                    await loop.run_in_executor(None, post, server.port, "/api/v1/orders", order)
                    sent += 1
                await asyncio.sleep(0.005)
            await until(lambda: all(stream.events >= 3 * sent for stream in streams))
            return memory_mb(pid) - before

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            grown = runner.run(run())
    waits.sort()
    late = {"stream_p50_ms": waits[len(waits) // 2] * 1000, "stream_p99_ms": waits[int(len(waits) * 0.99)] * 1000}
    return {"streams_mb": grown, **late}


def get(port: int, path: str) -> bytes:
    """The body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def post(port: int, path: str, body: Any, kind: str = "application/json", method: str = "POST") -> Any:
    """What is answered to a body, which goes as JSON unless it is bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    data = body if isinstance(body, bytes) else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": kind})
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found
