"""Starts of an intake: memory with many orders waiting, large ones among them; time and memory with millions final."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.domain.orders import OrderRequest
from shared.stores.ports.orders import OrderBatch
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.wire.orders import encode_orders
from tests.benchmarks.big_store import make_big_store
from tests.benchmarks.peers import Comanda
from tests.benchmarks.trials import ask, wait_for_workers

_LINES = 1000
_NAME_LENGTH = 200
_TOGETHER = 10
_POLL_SECONDS = 0.1


class RecoveryFigures(NamedTuple):
    """A start with orders waiting, until all large ones among them are `listo`."""

    waiting: int
    large: int
    large_kib: float
    """Size of the document of each large one."""
    start_seconds: float
    memory_mb: float
    """Memory of the intake, two workers and its other processes, the most of each; what they share is counted once."""


def recovery(waiting: int, large: int) -> RecoveryFigures:
    """Starts an intake on a store with orders, ten in each commit and large ones alone; these are the oldest."""
    server = Comanda(PROCESSING_SECONDS="0.01", ORDER_HANDLER="workers.handlers:wait")
    data = server.folder / "data"
    data.mkdir()
    size = asyncio.run(_fill(data, waiting, large))
    began = time.perf_counter()
    with server.running():
        ask(server.port, "ping")
        start = time.perf_counter() - began
        wait_for_workers(server.port)
        while ask(server.port, "stats")["stats"]["pedidos"]["listo"] < large:
            time.sleep(_POLL_SECONDS)
        memory = _peak_memory_mb(server)
    return RecoveryFigures(waiting, large, size / 1024, start, memory)


class BigStartFigures(NamedTuple):
    """A start on a store with millions of final orders, of which the very first one waits until 2099."""

    final: int
    waiting: int
    start_seconds: float
    """Until the first answer."""
    memory_mb: float
    """As in `RecoveryFigures`, until both workers are ready."""


def big_start(final: int, waiting: int) -> BigStartFigures:
    """Starts an intake on a store with so many orders."""
    server = Comanda(ORDER_HANDLER="workers.handlers:wait", PROCESSING_SECONDS="3600", SHUTDOWN_SECONDS="1")
    make_big_store(StoreFiles(server.folder / "data" / "orders.db"), final, customers=100_000, waiting=waiting)
    began = time.perf_counter()
    with server.running():
        opened = ask(server.port, "stats")["stats"]["abiertos"]
        start = time.perf_counter() - began
        assert opened == waiting + 1, "every open order is found"
        wait_for_workers(server.port)
        memory = _peak_memory_mb(server)
    return BigStartFigures(final, waiting, start, memory)


def _peak_memory_mb(server: Comanda) -> float:
    """Returns the most memory that each process of a server has taken, added up; what they share counts once."""
    assert server.process is not None
    pids = [server.process.pid, *_children(server.process.pid)]
    peaks = [_read_kib(pid, "VmHWM") for pid in pids]
    shared = [_read_kib(pid, "RssFile") for pid in pids]
    return (sum(peaks) - sum(shared) + max(shared)) / 1024


async def _fill(folder: Path, waiting: int, large: int) -> int:
    store = SqliteOrderStore(StoreFiles(folder / "orders.db"))
    await store.recover()
    size = 0
    for number in range(large):
        batch = _batch([f"{line} {number}".ljust(_NAME_LENGTH, "x") for line in range(_LINES)], 1)
        size = len(batch.documents[0])
        await store.accept(batch, received=time.time_ns() // 1000, room=1)
    small = _batch(["pan"], _TOGETHER)
    for _ in range((waiting - large) // _TOGETHER):
        await store.accept(small, received=time.time_ns() // 1000, room=_TOGETHER)
    await store.close()
    return size


def _batch(items: list[str], orders: int) -> OrderBatch:
    request = msgspec.convert({"cliente": "Ana", "productos": items, "direccion": "Mayor 1"}, OrderRequest)
    requests = [request] * orders
    return OrderBatch(requests, encode_orders(requests), True)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _read_kib(pid: int, name: str) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0])
