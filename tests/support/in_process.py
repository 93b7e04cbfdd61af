"""The servers of the suite as objects of this process, on databases in memory and a simulated loop.

The servers are the real ones. Fakes are what they stand on: the network and the clock (simulation.py), the databases
(memory_orders.py, memory_records.py), and worker processes, which are tasks here.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from services.distributed.distributed import Distributed
from services.distributed.read_model import ReadModel
from services.distributed.settings import DistributedSettings
from services.distributed.stock_events import TABLES as STOCK_TABLES
from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from services.intake.__main__ import child_config
from services.intake.intake import Intake
from services.intake.settings import IntakeSettings
from services.inventory.inventory import InventoryService
from services.inventory.settings import InventorySettings
from services.persistence.persistence import Persistence, tables
from services.persistence.settings import PersistenceSettings
from services.shop.settings import ShopSettings
from services.shop.shop import ShopService
from shared.domain.tables import PURCHASES, SCORES, USERS, corporate_data
from shared.stores.sqlite.files import StoreFiles
from shared.wire.cursors import Cursors
from tests.support.lines import Lines, connect_lines
from tests.support.memory_book_index import MemoryBookIndex
from tests.support.memory_orders import MemoryOrderFeed, MemoryOrders, MemoryOrderStore, MemoryWorkStore
from tests.support.memory_records import MemoryRecordFeed, MemoryRecords, MemoryRecordStore
from tests.support.simulation import SimulatedLoop
from workers.child import ChildConfig
from workers.failures import known_secrets
from workers.handlers import load_handler
from workers.worker import Worker

OPEN_FILES = 20_000
JWT_KEYS = "tests:VGhlIGtleSBvZiB0aGUgdGVzdHMsIG9mIDMyIGJ5dGVzLg=="
SERVICE_TOKEN = "the token of the tests"
_KILLED = -9


class TaskWorker:
    """Stands in for a worker process: the real worker, in a task of this loop."""

    def __init__(self, database: MemoryOrders, config: ChildConfig, index: int, end: socket.socket) -> None:
        self.pid = 1000 + index
        self.exitcode: int | None = None
        # The pool closes its own copy, as it does once a process has one.
        self._end = end.dup()
        worker = Worker(
            f"w{index}",
            MemoryWorkStore(database),
            load_handler(config.handler, config.kit),
            config.policy,
            secrets=known_secrets({}, config.kit.service_token),
        )
        self._task = asyncio.get_running_loop().create_task(worker.run(self._end), name=f"worker {index}")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # Nobody else has it where the worker was killed before its first step.
        self._end.close()
        if self.exitcode is None:
            self.exitcode = 1 if task.cancelled() or task.exception() is not None else 0

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self.exitcode = _KILLED
        self._end.shutdown(socket.SHUT_RDWR)
        self._task.cancel()

    def join(self, timeout: float | None = None) -> None:
        """Returns at once: whoever waits looks again."""


class Suite:
    """The databases of one suite, and those of its servers that a test has started.

    Servers end with the block, the last one first. `ports` has the port of each by its name.
    """

    def __init__(self, folder: Path) -> None:
        self.orders = MemoryOrders()
        self.records = MemoryRecords()
        self.books = MemoryBookIndex(Cursors(b"tests"))
        self.ports: dict[str, int] = {}
        self.workers: list[TaskWorker] = []
        self.folder = folder
        self._stack = AsyncExitStack()
        self._stops: dict[str, AsyncExitStack] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in reversed(self._stops):
            await self._stops[name].aclose()
        await self._stack.aclose()

    async def stop(self, name: str) -> None:
        """Ends a server, as SIGTERM would."""
        del self.ports[name]
        await self._stops.pop(name).aclose()

    async def start_intake(self, **settings: Any) -> int:
        """Starts the intake on `orders`; its workers run in tasks."""
        chosen = IntakeSettings(
            **{
                "server_host": "127.0.0.1",
                "server_port": 0,
                "tcp_persist_port": self.ports.get("tcp_persist_port", 1),
                "processing_seconds": 0.0,
                "data_dir": str(self.folder),
                **settings,
            },
        )
        limits = chosen.build_limits(document_bytes=chosen.max_document_bytes, open_files=OPEN_FILES)
        store = MemoryOrderStore(self.orders, request_id_seconds=chosen.request_id_seconds)
        child = child_config(chosen, StoreFiles(self.folder / "orders.db"))

        def spawn(config: ChildConfig, index: int, end: socket.socket) -> TaskWorker:
            self.workers.append(TaskWorker(self.orders, config, index, end))
            return self.workers[-1]

        intake = Intake(chosen, store, await store.recover(), limits, child, spawn=spawn)
        return await self._start("server_port", intake.serve)

    async def start_persistence(self, **settings: Any) -> int:
        """Starts the persistence server on `records`."""
        given = {"tcp_persist_port": 0, "data_dir": str(self.folder), "stage": "dev", **settings}
        chosen = PersistenceSettings(**given)
        limits = chosen.build_limits(document_bytes=chosen.max_transaction_bytes, open_files=OPEN_FILES)
        server = Persistence(chosen, MemoryRecordStore(self.records, tables(chosen)), limits)
        return await self._start("tcp_persist_port", server.serve)

    async def start_distributed(self, **settings: Any) -> int:
        """Starts the distributed service, which follows `orders` and `records`; its own file is in the folder."""
        chosen = DistributedSettings(**{"distributed_port": 0, "data_dir": str(self.folder), **settings})
        limits = chosen.build_limits(document_bytes=chosen.max_document_bytes, open_files=OPEN_FILES)
        read_model = ReadModel(
            chosen.distributed_file,
            max_events=chosen.max_events,
            event_seconds=chosen.event_seconds,
            max_notifications=chosen.max_notifications,
            keep_notifications_days=chosen.keep_notifications_days,
            max_products=chosen.max_products,
        )
        followed = [SCORES, USERS, PURCHASES, *STOCK_TABLES, corporate_data(chosen.corporate_data)]
        feeds = MemoryOrderFeed(self.orders), MemoryRecordFeed(self.records, followed)
        server = Distributed(chosen, read_model, *feeds, limits)
        return await self._start("distributed_port", server.serve, read_model.close)

    async def start_gateway(self, **settings: Any) -> int:
        """Starts the gateway before those servers that run; where one does not, nobody listens."""
        chosen = GatewaySettings(
            **{
                "main_server_host": "127.0.0.1",
                "main_server_port": 0,
                "stage": "dev",
                "rate_limit": "none",
                "tenant_limits": "none",
                "data_dir": str(self.folder),
                "jwt_keys": JWT_KEYS,
                "service_token": SERVICE_TOKEN if settings.get("stage") == "prod" else None,
                **settings,
            },
            **{"server_port": 1, "tcp_persist_port": 2, "distributed_port": 3, **self._known()},
        )
        return await self._start("main_server_port", Gateway(chosen, self.books).serve)

    async def start_inventory(self, **settings: Any) -> None:
        """Starts the inventory service, which listens nowhere, beside those servers that run."""
        chosen = InventorySettings(**{"data_dir": str(self.folder), **settings}, **self._known())
        chosen.uploads_folder.mkdir(exist_ok=True)
        await self._stack.enter_async_context(serving(InventoryService(chosen, chosen.build_access()).serve))

    async def start_shop(self) -> None:
        """Starts the shop's service, which keeps the index `books` and listens nowhere."""
        await self._stack.enter_async_context(self.run_shop())

    @asynccontextmanager
    async def run_shop(self) -> AsyncIterator[None]:
        """Runs the shop's service for the block."""
        chosen = ShopSettings(data_dir=str(self.folder), **self._known())
        async with serving(ShopService(chosen, chosen.build_access(), self.books).serve):
            yield

    @asynccontextmanager
    async def connect(self, name: str, **options: Any) -> AsyncIterator[Lines]:
        """Opens a connection to the server of this port setting for the block."""
        async with connect_lines(self.ports[name], greeted=name == "server_port", **options) as lines:
            yield lines

    def intake(self, **options: Any) -> IntakeClient:
        """Returns a client of the intake."""
        return IntakeClient("localhost", self.ports["server_port"], **options)

    def persistence(self, **options: Any) -> PersistenceClient:
        """Returns a client of the persistence server."""
        return PersistenceClient("localhost", self.ports["tcp_persist_port"], **options)

    def distributed(self, **options: Any) -> DistributedClient:
        """Returns a client of the distributed service."""
        return DistributedClient("localhost", self.ports["distributed_port"], **options)

    def _known(self) -> dict[str, Any]:
        return {name: port for name, port in self.ports.items() if name != "main_server_port"}

    async def _start(
        self, name: str, serve: Callable[[asyncio.Event], Awaitable[None]], after: Callable[[], None] | None = None
    ) -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        before = set(loop.listening)
        # Of several gateways, the first one is the one that `stop` names.
        stack = self._stops[name if name not in self._stops else f"{name} {len(self._stops)}"] = AsyncExitStack()
        if after is not None:
            stack.callback(after)
        task = await stack.enter_async_context(serving(serve))
        while not (new := set(loop.listening) - before):
            assert not task.done(), task.exception()
            await asyncio.sleep(0)
        (port,) = new
        self.ports.setdefault(name, port)
        return port


@asynccontextmanager
async def serving(serve: Callable[[asyncio.Event], Awaitable[None]]) -> "AsyncIterator[asyncio.Task[None]]":
    """Runs a server for the block; if it fails, so does the test."""
    stop = asyncio.Event()

    async def run() -> None:
        await serve(stop)

    task = asyncio.get_running_loop().create_task(run(), name="server")
    try:
        yield task
    finally:
        stop.set()
        await task
