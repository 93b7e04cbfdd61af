"""Stock: a large file on its way in, a store looked at beside a FastAPI service, what reserving adds to an order."""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from clients.intake import IntakeClient
from clients.inventory import stock
from clients.persistence import PersistenceClient
from shared.domain.states import FINAL, State
from tests.benchmarks.events import memory_mb
from tests.benchmarks.gateway import Gateway, Persistence, get, post, wrk
from tests.benchmarks.peers import Comanda, FastApiService, Server
from tests.benchmarks.trials import end_to_end

_ROWS = 100_000
_STORE_ROWS = 100
_POLL_SECONDS = 0.02
_RIVALS = 64
_PLENTY = 1_000_000_000
_RESERVING = "services.inventory.reserving:Reserving"


class InventoryFigures(NamedTuple):
    """What was measured."""

    import_seconds: list[float]
    """From the first byte of a file of 100,000 rows to the last row in force."""
    accepted_seconds: list[float]
    """From the first byte to the answer: it will be in force as a whole."""
    grown_mb: float
    """Memory that such a file leaves behind, once one was taken in: gateway and inventory service together."""
    pages: list[float]
    """Pages of 100 items a second of each round."""
    pages_p99_ms: list[float]
    peer_pages: list[float]
    plain: list[float]
    """Orders a second to the last one `listo`, with nothing reserved."""
    reserved: list[float]
    """The same where every product of every order is taken from the stock."""
    plain_http: list[float]
    """The first of the two over HTTP, from 64 connections."""
    reserved_http: list[float]
    winners: int
    """Of 64 clients that want the last one at a time, those that got it."""


class Inventory(Server):
    """Ours: it listens nowhere, so another server's port says that it can start."""

    name = "inventory"

    def __init__(self, intake: Comanda, persistence: Server) -> None:
        super().__init__()
        self.port = persistence.port
        self._environment = {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ENV_FILE": "/dev/null",
            "DATA_DIR": str(intake.folder / "data"),
            "SERVER_PORT": str(intake.port),
            "TCP_PERSIST_PORT": str(persistence.port),
        }

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.inventory"]

    def environment(self) -> dict[str, str]:
        return self._environment


class _Suite(NamedTuple):
    gateway: Gateway
    inventory: Inventory
    persistence: Persistence


def inventory(rounds: int, seconds: float, orders: list[bytes], number: int) -> InventoryFigures:
    """Measures all of it; `number` orders are followed to their end in each round."""
    found: dict[str, list[float]] = {name: [] for name in InventoryFigures._fields if not name.startswith("win")}
    grown: list[float] = []
    for _ in range(rounds):
        with _suite() as ours:
            _import(ours, 0)
            before = _memory(ours)
            accepted, applied = _import(ours, 1)
            grown.append(_memory(ours) - before)
            found["accepted_seconds"].append(accepted)
            found["import_seconds"].append(applied)
            rate, p99 = wrk(ours.gateway.port, f"/items/Shop?limit={_STORE_ROWS}", seconds)
            found["pages"].append(rate)
            found["pages_p99_ms"].append(p99)
        if FastApiService.missing() is None:
            with FastApiService().running() as theirs:
                _fill(theirs.port)
                found["peer_pages"].append(wrk(theirs.port, f"/items/Shop?limit={_STORE_ROWS}", seconds)[0])
        found["plain"].append(end_to_end(orders, number).rate)
        found["reserved"].append(_reserved(orders, number))
        found["plain_http"].append(_over_http(orders, seconds, {}))
        with _stocked(dict.fromkeys(_products(orders), _PLENTY)) as persistence:
            settings = {"ORDER_HANDLER": _RESERVING, "TCP_PERSIST_PORT": str(persistence.port)}
            found["reserved_http"].append(_over_http(orders, seconds, settings, persistence))
    del found["grown_mb"]
    return InventoryFigures(**found, grown_mb=max(grown), winners=_last_one())


@contextlib.contextmanager
def _suite() -> Iterator[_Suite]:
    intake = Comanda()
    with intake.running(), contextlib.ExitStack() as stack:
        persistence = stack.enter_context(Persistence(intake.folder / "data").running())
        working = stack.enter_context(Inventory(intake, persistence).running())
        # Nobody follows events: where the distributed service would be, there is nothing.
        yield _Suite(stack.enter_context(Gateway(intake, persistence, working).running()), working, persistence)


def _import(suite: _Suite, number: int) -> tuple[float, float]:
    """Sends a file; seconds to the answer, and to its last row."""
    port = suite.gateway.port
    lines = [f"Store {place % 50},Item {place // 50},{(place + number) % 997}" for place in range(_ROWS - _STORE_ROWS)]
    lines += [f"Shop,Item {place},{place + number}" for place in range(_STORE_ROWS)]
    body = "\n".join(["store,item,count", *lines]).encode()
    began = time.perf_counter()
    found = post(port, "/items/upload", body, "text/csv")
    accepted = time.perf_counter() - began
    while found["state"] != "applied":
        time.sleep(_POLL_SECONDS)
        found = json.loads(get(port, f"/imports/{found['id']}"))
    assert found["applied"] == _ROWS, found
    return accepted, time.perf_counter() - began


def _memory(suite: _Suite) -> float:
    assert suite.gateway.process is not None
    assert suite.inventory.process is not None
    return memory_mb(suite.gateway.process.pid) + memory_mb(suite.inventory.process.pid)


def _fill(port: int) -> None:
    """The same page for the peer."""
    changed = "2026-11-25T18:14:13.286774Z"
    rows = [
        {"store": "Shop", "item": f"Item {place}", "count": place, "low": False, "version": 2, "changed": changed}
        for place in range(_STORE_ROWS)
    ]
    post(port, "/items/Shop", rows, method="PUT")


def _reserved(orders: list[bytes], number: int) -> float:
    """Orders a second to the last one `listo` where all are reserved; all that was taken has to be gone."""
    with _stocked(dict.fromkeys(_products(orders), _PLENTY)) as persistence:
        settings = {"ORDER_HANDLER": _RESERVING, "TCP_PERSIST_PORT": str(persistence.port), "PROCESSING_SECONDS": "0"}
        found = end_to_end(orders, number, **settings)
        left = _run(_counts(persistence.port))
        taken = sum(_PLENTY - count for count in left.values())
    named = sum(len(json.loads(orders[place % len(orders)])["productos"]) for place in range(len(orders)))
    # Connections send the sample from its beginning: what is taken is about its average.
    assert taken > 0.9 * found.orders * named / len(orders), (taken, found.orders)
    return found.rate


def _products(orders: list[bytes]) -> set[str]:
    return {name for order in orders for name in json.loads(order)["productos"]}


def _over_http(
    orders: list[bytes], seconds: float, settings: dict[str, str], persistence: Persistence | None = None
) -> float:
    """Orders a second from the first request to the last one `listo`."""
    intake = Comanda(workers=2, PROCESSING_SECONDS="0", **settings)
    with intake.running(), contextlib.ExitStack() as stack:
        if persistence is None:
            persistence = stack.enter_context(Persistence(intake.folder / "data").running())
        gateway = stack.enter_context(Gateway(intake, persistence, persistence).running())
        began = time.perf_counter()
        wrk(gateway.port, "/api/v1/orders", seconds, orders)
        while (stats := json.loads(get(gateway.port, "/api/v1/stats")))["abiertos"]:
            time.sleep(_POLL_SECONDS)
        return float(stats["pedidos"]["listo"] / (time.perf_counter() - began))


def _last_one() -> int:
    """How many of 64 clients get the last one of something."""
    with _stocked({"the last one": 1}) as persistence:
        server = Comanda(ORDER_HANDLER=_RESERVING, TCP_PERSIST_PORT=str(persistence.port), PROCESSING_SECONDS="0")
        with server.running():
            states: list[State] = _run(_fight(server.port))
            assert _run(_counts(persistence.port)) == {"the last one": 0}
    return states.count(State.DONE)


async def _fight(port: int) -> list[State]:
    clients = [IntakeClient("127.0.0.1", port) for _ in range(_RIVALS)]
    order = {"cliente": "x", "productos": ["the last one"], "direccion": "y"}
    accepted = await asyncio.gather(*(client.order(order) for client in clients))
    states: list[State] = []
    for client, one in zip(clients, accepted, strict=True):
        while (state := (await client.status(one.id)).state) not in FINAL:
            await asyncio.sleep(_POLL_SECONDS)
        states.append(state)
        client.close()
    return states


@contextlib.contextmanager
def _stocked(counts: dict[str, int]) -> Iterator[Persistence]:
    """A persistence server with so much of each in one store."""

    async def fill(port: int) -> None:
        async with PersistenceClient("127.0.0.1", port) as client:
            for item, count in counts.items():
                await stock.set_count(client, "Shop", item, count, version=None)

    with tempfile.TemporaryDirectory() as folder, Persistence(Path(folder)).running() as persistence:
        _run(fill(persistence.port))
        yield persistence


async def _counts(port: int) -> dict[str, int]:
    async with PersistenceClient("127.0.0.1", port) as client:
        return {item: count async for _, item, count in stock.iterate_stock(client)}


def _run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
