"""The port of the search of books on tantivy."""

import asyncio
import contextlib
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from shared.domain.errors import ComandaError, IndexMissing
from shared.search.pages import Pager
from shared.search.port import BookSearch, Found, IndexChange, IndexedBook, Suggestion
from shared.search.queries import MAX_SIMILAR, MAX_SUGGESTIONS, check_limit, choose_suggestion_words
from shared.search.tantivy.committer import GroupCommitter
from shared.search.tantivy.failures import is_engine_failure, shows_damage, translated
from shared.search.tantivy.folders import TenantFolder, read_state
from shared.search.tantivy.reader import IndexReader
from shared.search.tantivy.searches import BookSearcher, read_position
from shared.search.tantivy.threads import BoundedThreads
from shared.search.tantivy.writer import IndexWriter, create_index, open_index
from shared.wire.cursors import Cursors

T = TypeVar("T")

_BUILD_BOOKS = 1000


class TantivyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of an index on tantivy."""

    search_threads: Annotated[int, Meta(ge=1)] = 2
    waiting_searches: Annotated[int, Meta(ge=1)] = 256
    """Searches that run or wait at a time; more are refused."""
    open_readers: Annotated[int, Meta(ge=1)] = 256
    """Tenants whose index stays open for searches. Each takes a thread and about 0.2 MB."""
    open_writers: Annotated[int, Meta(ge=1)] = 16
    """Tenants whose index is open for changes. Each takes six threads."""
    idle_seconds: Annotated[float, Meta(gt=0)] = 60
    """After so long without a change a writer is closed."""
    commit_seconds: Annotated[float, Meta(ge=0)] = 0.1
    """Changes wait so long at most for others that are committed with them."""
    writer_bytes: Annotated[int, Meta(ge=15_000_000)] = 16_000_000
    """Memory in which a writer collects changed books."""
    build_bytes: Annotated[int, Meta(ge=15_000_000)] = 128_000_000
    """Memory in which a new index is built. The more there is, the fewer segments it has, and the faster it is."""


class TantivyBookIndex:
    """Keeps one index in a folder of files for each tenant, below `root`.

    Any number of processes can search; one process at a time changes the index of a tenant.
    """

    def __init__(self, root: Path, cursors: Cursors, options: TantivyOptions) -> None:
        self._root = root
        self._cursors = cursors
        self._options = options
        self._searches = BoundedThreads("search", options.search_threads, options.waiting_searches)
        # A call for each open writer, one that builds and one that deletes.
        self._writes = BoundedThreads("index", 2, 4 * options.open_writers)
        self._readers: OrderedDict[str, IndexReader] = OrderedDict()
        self._committers: OrderedDict[str, GroupCommitter] = OrderedDict()
        self._building: set[str] = set()
        self._lock = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    async def apply(self, tenant: str, changes: Sequence[IndexChange], position: str) -> None:
        folder = TenantFolder(self._root, tenant)
        async with self._lock:
            committer = await self._open_committer(folder, tenant)
            done = committer.add_changes(changes, position)
        await done

    async def build(self, tenant: str, books: AsyncIterable[Sequence[IndexedBook]], position: str) -> None:
        folder = TenantFolder(self._root, tenant)
        if tenant in self._building:
            raise folder.missing("is being built already")
        self._building.add(tenant)
        try:
            lock = await self._write(folder, folder.lock_build)
            try:
                await self._build(folder, books, position)
            finally:
                lock.close()
        finally:
            self._building.discard(tenant)

    async def position(self, tenant: str) -> str | None:
        reader = self._get_reader(tenant)

        def read() -> str | None:
            return read_position(*reader.get_searcher())

        try:
            return await self._search(reader, read)
        except IndexMissing:
            return None

    async def search(self, tenant: str, query: BookSearch) -> Found:
        pager = Pager(self._cursors, tenant, query)
        reader = self._get_reader(tenant)
        return await self._search(reader, lambda: BookSearcher(*reader.get_searcher()).find_books(query, pager))

    async def suggest(self, tenant: str, text: str, limit: int) -> list[Suggestion]:
        reader, words = self._get_reader(tenant), choose_suggestion_words(text)
        check_limit(limit, MAX_SUGGESTIONS)

        def complete() -> list[Suggestion]:
            searcher = BookSearcher(*reader.get_searcher())
            return searcher.complete_text(words, limit) if words else []

        return await self._search(reader, complete)

    async def similar(self, tenant: str, text: str, limit: int) -> list[str]:
        reader = self._get_reader(tenant)
        check_limit(limit, MAX_SIMILAR)
        return await self._search(reader, lambda: BookSearcher(*reader.get_searcher()).find_similar(text, limit))

    async def drop(self, tenant: str) -> None:
        folder = TenantFolder(self._root, tenant)
        async with self._lock:
            await self._close_committer(tenant)
            self._readers.pop(tenant, None)
            await self._writes.run(folder.delete)

    async def close(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._closing
        async with self._lock:
            for tenant in list(self._committers):
                await self._close_committer(tenant)
        self._readers.clear()
        self._searches.close()
        self._writes.close()

    async def _build(self, folder: TenantFolder, books: AsyncIterable[Sequence[IndexedBook]], position: str) -> None:
        made = await self._write(folder, folder.make_next)
        try:
            writer = await self._write(folder, lambda: IndexWriter(create_index(made), self._options.build_bytes))
            async for batch in books:
                for start in range(0, len(batch), _BUILD_BOOKS):
                    await self._write(folder, partial(writer.add_books, batch[start : start + _BUILD_BOOKS]))
            await self._write(folder, lambda: writer.finish_build(position))
        except BaseException:
            # What has been written may be what fills the disk.
            shutil.rmtree(made, ignore_errors=True)
            raise
        async with self._lock:
            await self._close_committer(folder.tenant)
            await self._write(folder, lambda: folder.activate(made))

    async def _write(self, folder: TenantFolder, function: Callable[[], T]) -> T:
        with translated(folder.behind("cannot be built")):
            return await self._writes.run(function)

    async def _search(self, reader: IndexReader, function: Callable[[], T]) -> T:
        """Returns the result of a function that searches.

        If the engine fails and cannot read the index at all, the index is marked as damaged. Other failures are those
        of a query, and no reason to build an index.
        """
        try:
            return await self._searches.run(function)
        except ComandaError:
            raise
        except BaseException as error:
            if not is_engine_failure(error) or await self._is_healthy(reader):
                raise
            reader.mark_damaged(error)
            raise reader.folder.missing("is damaged") from error

    async def _is_healthy(self, reader: IndexReader) -> bool:
        try:
            await self._searches.run(lambda: BookSearcher(*reader.get_searcher()).check_health())
        except BaseException as error:
            if not is_engine_failure(error):
                raise
            return not shows_damage(error)
        return True

    def _get_reader(self, tenant: str) -> IndexReader:
        reader = self._readers.get(tenant)
        if reader is None:
            reader = self._readers[tenant] = IndexReader(TenantFolder(self._root, tenant))
            if len(self._readers) > self._options.open_readers:
                self._readers.popitem(last=False)
        self._readers.move_to_end(tenant)
        return reader

    async def _open_committer(self, folder: TenantFolder, tenant: str) -> GroupCommitter:
        """Returns the open writer of a tenant, or opens it; the one that was used least recently makes room."""
        committer = self._committers.get(tenant)
        pointer = read_state(folder.pointer)
        if committer is not None and (committer.failed or committer.pointer != pointer):
            # Its index was damaged, deleted or replaced, perhaps by another process.
            await self._close_committer(tenant)
            committer = None
        if committer is None:
            while len(self._committers) >= self._options.open_writers:
                await self._close_committer(next(iter(self._committers)))
            writer = await self._open_writer(folder)
            behind = folder.behind("cannot store changes")
            committer = GroupCommitter(behind, writer, self._writes, self._options.commit_seconds, pointer)
            self._committers[tenant] = committer
            if self._closing is None:
                self._closing = asyncio.create_task(self._close_idle())
        self._committers.move_to_end(tenant)
        return committer

    async def _open_writer(self, folder: TenantFolder) -> IndexWriter:
        def open_writer() -> IndexWriter:
            pointer = read_state(folder.pointer)
            with translated(folder.behind("is locked by another process, or cannot be written")):
                try:
                    index = open_index(folder.find_index())
                except BaseException as error:
                    if not shows_damage(error):
                        raise
                    folder.mark_damaged(pointer)
                    raise folder.missing("is damaged") from error
                return IndexWriter(index, self._options.writer_bytes)

        return await self._writes.run(open_writer)

    async def _close_committer(self, tenant: str) -> None:
        committer = self._committers.pop(tenant, None)
        if committer is not None:
            await committer.close()

    async def _close_idle(self) -> None:
        """Closes writers that have had no changes for a while; ends with the last one."""
        while self._committers:
            await asyncio.sleep(self._options.idle_seconds / 4)
            async with self._lock:
                limit = asyncio.get_running_loop().time() - self._options.idle_seconds
                for tenant in [name for name, open_ in self._committers.items() if open_.used < limit]:
                    await self._close_committer(tenant)
        self._closing = None
