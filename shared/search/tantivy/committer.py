"""Commits the changes of one tenant in groups."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.errors import IndexBehind
from shared.search.port import IndexChange
from shared.search.tantivy.failures import translated
from shared.search.tantivy.folders import FileState
from shared.search.tantivy.threads import BoundedThreads
from shared.search.tantivy.writer import IndexWriter

_LARGE_GROUP = 500
"""So many changes are committed without waiting for more."""


class _Batch(NamedTuple):
    changes: Sequence[IndexChange]
    position: str
    done: asyncio.Future[None]


class GroupCommitter:
    """Commits what arrives within `seconds` together: a commit takes 18 fdatasyncs, 10 to 100 ms.

    The first changes after a pause are committed at once; later ones wait until `seconds` after the previous commit
    began. A failed commit leaves the writer unusable: `failed` is set, and the writer has to be opened again.
    """

    def __init__(
        self,
        behind: IndexBehind,
        writer: IndexWriter,
        threads: BoundedThreads,
        seconds: float,
        pointer: FileState | None,
    ) -> None:
        self._behind = behind
        self._writer = writer
        self._threads = threads
        self._seconds = seconds
        self._batches: list[_Batch] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_commit = float("-inf")
        self.pointer = pointer
        """The state of the pointer to the index when it was opened."""
        self.failed = False
        self.used = asyncio.get_running_loop().time()
        """When the last changes arrived, in the time of the event loop."""

    def add_changes(self, changes: Sequence[IndexChange], position: str) -> asyncio.Future[None]:
        """Returns a future that is done once the changes are durable. It fails with IndexBehind."""
        loop = asyncio.get_running_loop()
        self.used = loop.time()
        batch = _Batch(changes, position, loop.create_future())
        self._batches.append(batch)
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._commit_groups())
        return batch.done

    async def close(self) -> None:
        """Commits what has arrived, and closes the writer."""
        while self._task is not None:
            await asyncio.wait([self._task])
        with contextlib.suppress(IndexBehind), translated(self._behind):
            await self._threads.run(self._writer.close)

    async def _commit_groups(self) -> None:
        try:
            while self._batches:
                await self._wait_for_group()
                group, self._batches = self._batches, []
                await self._commit_group(group)
        finally:
            self._task = None

    async def _wait_for_group(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = self._last_commit + self._seconds
        with contextlib.suppress(TimeoutError):
            while sum(len(batch.changes) for batch in self._batches) < _LARGE_GROUP:
                if loop.time() >= deadline:
                    break
                self._wake.clear()
                async with asyncio.timeout_at(deadline):
                    await self._wake.wait()
        self._last_commit = loop.time()

    async def _commit_group(self, group: list[_Batch]) -> None:
        changes = [change for batch in group for change in batch.changes]
        position = group[-1].position
        try:
            if self.failed:
                raise self._behind
            with translated(self._behind):
                await self._threads.run(lambda: self._writer.commit_changes(changes, position))
        except Exception as error:
            self.failed = True
            for batch in group:
                if not batch.done.done():
                    batch.done.set_exception(error)
            return
        for batch in group:
            if not batch.done.done():
                batch.done.set_result(None)
