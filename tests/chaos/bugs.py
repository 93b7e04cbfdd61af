"""The intake with one bug put in: `python -m tests.chaos.bugs NAME`. The harness has to see each of them.

Worker processes run this module too when they start, so a bug is in them as well.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

from services.intake.__main__ import main
from shared.domain.ids import Run
from shared.stores.orders import RUNNING
from shared.stores.ports import Acceptance, Batch, Ticket
from shared.stores.sqlite import database, orders, work
from shared.stores.sqlite.orders import SqliteOrderStore
from workers.pool import Pool

_LATE_SECONDS = 0.05


def answer_before_commit() -> None:
    """Orders are answered when they have been taken in, and stored a little later."""
    accept = SqliteOrderStore.accept

    async def answered_first(self: Any, batch: Batch, *, received: int, room: int) -> Acceptance:
        loop = asyncio.get_running_loop()
        promised = Run(received, self._node, self._next, min(len(batch.requests), room))
        store = Batch(batch.requests, batch.documents, False)
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

    for module in (database, work):
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
    work._DONE = work._DONE.replace("AND attempt = ?2", "AND ?2 > 0").replace(f"state = {RUNNING}", "true")
    _let_silent_workers_live()


def _let_silent_workers_live() -> None:
    lose = Pool._lose

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
                if member.ready and loop.time() - member.heard > self._policy.lease_seconds:
                    member.process = Spared(member.process)
                    member.queue._received = lambda messages: None
                    member.queue._closed = lambda: None
                    lose(self, member)

    Pool._watch = watch  # type: ignore[method-assign]


def queue_not_refilled() -> None:
    """What a dead worker held is not given to another."""

    async def forget(self: Any, tickets: Sequence[Ticket]) -> None:
        """Leaves them where they are."""

    Pool._rescue = forget  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        answer_before_commit,
        commit_without_sync,
        no_unique_key,
        no_fencing,
        queue_not_refilled,
    )
}

if __name__ in ("__main__", "__mp_main__"):
    BUGS[sys.argv[1]]()

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
