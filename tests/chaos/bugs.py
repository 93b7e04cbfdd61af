"""A server with one bug put in: `python -m tests.chaos.bugs NAME`. The harness has to see each of them.

Worker processes run this module too when they start, so a bug is in them as well.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.distributed import __main__ as distributed
from services.distributed.read_model import ReadModel
from services.intake import __main__ as intake
from shared.domain.ids import OrderRange
from shared.stores.orders import RUNNING
from shared.stores.ports.orders import Acceptance, OrderBatch, Ticket
from shared.stores.sqlite import database, orders, work_store
from shared.stores.sqlite.orders import SqliteOrderStore
from workers.pool import Pool

_LATE_SECONDS = 0.05


def answer_before_commit() -> None:
    """Orders are answered when they have been taken in, and stored a little later."""
    accept = SqliteOrderStore.accept

    async def answered_first(self: Any, batch: OrderBatch, *, received: int, room: int) -> Acceptance:
        loop = asyncio.get_running_loop()
        promised = OrderRange(received, self._node, self._next, min(len(batch.requests), room))
        store = OrderBatch(batch.requests, batch.documents, False)
        loop.call_later(_LATE_SECONDS, lambda: loop.create_task(accept(self, store, received=received, room=room)))
        self._next += promised.count
        return Acceptance(promised, range(promised.count), {})

    SqliteOrderStore.accept = answered_first  # type: ignore[method-assign]


def commit_without_sync() -> None:
    """Commits are left to the operating system: they survive the process, not the machine."""
    connect = database.connect

    def unsynced(*words: Any, **members: Any) -> Any:
        connection = connect(*words, **members)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    for module in (database, work_store):
        module.connect = unsynced  # type: ignore[attr-defined]


def no_unique_key() -> None:
    """Two orders may have one request_id."""
    start = SqliteOrderStore.__init__
    orders._ACCEPT = orders._ACCEPT.partition("ON CONFLICT")[0]

    def without_index(self: Any, *words: Any, **members: Any) -> None:
        start(self, *words, **members)
        self._orders.connection.execute("DROP INDEX IF EXISTS orders_by_request_id")

    SqliteOrderStore.__init__ = without_index  # type: ignore[method-assign]


def no_fencing() -> None:
    """A silent worker is given up but lives on, and whatever it still records counts."""
    work_store._DONE = work_store._DONE.replace("AND attempt = ?2", "AND ?2 > 0").replace(f"state = {RUNNING}", "true")
    _let_silent_workers_live()


def _let_silent_workers_live() -> None:
    lose = Pool._lose_worker

    class Spared:
        """A worker process that cannot be killed, and seems to be gone."""

        def __init__(self, process: Any) -> None:
            self._process = process
            self.pid, self.exitcode = process.pid, None

        def is_alive(self) -> bool:
            return False

        def join(self, _: float | None = None) -> None:
            """Is over at once."""

        def kill(self) -> None:
            """Does nothing."""

    async def watch(self: Any) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._policy.lease_seconds / 4)
            for member in self._members:
                silent = member.ready and loop.time() - member.heard > self._policy.lease_seconds
                # One that is only slow, since the machine is busy, would make this another bug.
                if silent and _is_stopped(member.process.pid):
                    member.process = Spared(member.process)
                    member.queue._received = lambda messages: None
                    member.queue._closed = lambda: None
                    lose(self, member)

    Pool._watch_workers = watch  # type: ignore[method-assign]


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def queue_not_refilled() -> None:
    """What a dead worker held is not given to another."""

    async def forget(self: Any, tickets: Sequence[Ticket]) -> None:
        """Leaves them where they are."""

    Pool._rescue_orders = forget  # type: ignore[method-assign]


def events_without_sync() -> None:
    """The distributed service leaves its commits to the operating system."""
    commit_without_sync()


def position_kept_now_and_then() -> None:
    """How far the others were followed is written down every fifth time only."""
    read, write = ReadModel.load_position, ReadModel.save_position
    positions: dict[str, str] = {}
    moves = itertools.count(1)

    def position(self: ReadModel, source: str) -> str | None:
        return positions.get(source) or read(self, source)

    def move(self: ReadModel, source: str, to: str) -> None:
        positions[source] = to
        if next(moves) % 5 == 0:
            write(self, source, to)

    ReadModel.load_position = position  # type: ignore[method-assign]
    ReadModel.save_position = move  # type: ignore[assignment, method-assign]


BUGS: dict[str, tuple[Callable[[], None], Callable[[list[str]], int]]] = {
    bug.__name__: (bug, main)
    for main, bugs in (
        (intake.main, (answer_before_commit, commit_without_sync, no_unique_key, no_fencing, queue_not_refilled)),
        (distributed.main, (events_without_sync, position_kept_now_and_then)),
    )
    for bug in bugs
}
"""Each bug, and the server that it is put into."""

if __name__ in ("__main__", "__mp_main__"):
    BUGS[sys.argv[1]][0]()

if __name__ == "__main__":
    sys.exit(BUGS[sys.argv[1]][1](sys.argv[2:]))
