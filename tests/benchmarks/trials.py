"""What is measured of Comanda besides its rate: the way to the end, pings under load, memory, start."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.driver import drive
from tests.benchmarks.peers import Comanda

_POLL_SECONDS = 0.05


class EndToEnd(NamedTuple):
    """From the first order sent to the last one `listo`, with a handler that does nothing."""

    orders: int
    accepted_rate: float
    rate: float
    ping_p99_ms: float
    memory_before_mb: float
    memory_after_mb: float
    logs_mb: float
    """Size of the write-ahead logs at the end."""


def end_to_end(orders: Sequence[bytes], number: int, **settings: str) -> EndToEnd:
    """Sends so many orders, 50 connections with 32 in flight, and waits until all are `listo`."""
    # Larger turns than the default's, as for any handler that hardly does anything.
    server = Comanda(workers=2, WORKER_CONCURRENCY="4000", **settings)
    with server.running():
        wait_for_workers(server.port)
        before = _memory_mb(server)
        pinger = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("pinger.py")), str(server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        began = time.perf_counter()
        sent = drive(server.port, server.dialect(orders), connections=50, window=32, seconds=600, limit=number)
        while (stats := ask(server.port, "stats")["stats"])["abiertos"]:
            time.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - began
        pings = json.loads(pinger.communicate()[0])
        assert stats["pedidos"]["listo"] == sent.answers, "every accepted order is listo"
        logs = sum(file.stat().st_size for file in (server.folder / "data").glob("*-wal")) / 2**20
        after = _memory_mb(server)
    return EndToEnd(sent.answers, sent.rate, sent.answers / seconds, pings["p99"], before, after, logs)


class Footprint(NamedTuple):
    """What costs nothing should be cheap."""

    start_seconds: float
    idle_kib: float
    connections: int


def footprint(connections: int) -> Footprint:
    """Time from starting the server to its first answer, and memory for each idle connection."""
    server = Comanda(MAX_CONNECTIONS="20000", IDLE_SECONDS="600")
    began = time.perf_counter()
    with server.running():
        ask(server.port, "ping")
        start = time.perf_counter() - began
        wait_for_workers(server.port)
        assert server.process is not None
        before = _resident_kib(server.process.pid)
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(connections)]
        for connection in idle:
            connection.recv(4096)
        after = _resident_kib(server.process.pid)
        for connection in idle:
            connection.close()
    return Footprint(start, (after - before) / connections, connections)


def ask(port: int, verb: str) -> dict[str, Any]:
    """Returns the answer of an intake to a verb."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        file = connection.makefile("rb")
        file.readline()
        connection.sendall(verb.encode() + b"\n")
        answer: dict[str, Any] = json.loads(file.readline())
        return answer


def wait_for_workers(port: int) -> None:
    """Returns once every worker is ready."""
    while ask(port, "health")["status"] != "ok":
        time.sleep(_POLL_SECONDS)


def _memory_mb(server: Comanda) -> float:
    """Resident memory of the server and its workers."""
    assert server.process is not None
    pids = [worker["pid"] for worker in ask(server.port, "stats")["stats"]["workers"]]
    return sum(_resident_kib(pid) for pid in (server.process.pid, *pids)) / 1024


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
