"""Reads the index of one tenant, in any process. All calls block, and threads may share a reader."""

from pathlib import Path
from threading import Lock
from typing import NamedTuple

import structlog
import tantivy

from shared.domain.errors import IndexMissing, Unavailable
from shared.search.tantivy.failures import is_engine_failure, shows_damage
from shared.search.tantivy.folders import FileState, TenantFolder, read_state
from shared.search.tantivy.queries import QueryBuilder
from shared.search.tantivy.writer import open_index


class OpenIndex(NamedTuple):
    """An index that is open for reading."""

    folder: Path
    handle: tantivy.Index
    queries: QueryBuilder


class IndexReader:
    """Searches the newest commit of the index that answers for a tenant.

    The writer may be in another process. Two calls of `stat` notice its commits, in microseconds; tantivy's own watch
    would notice them up to half a second later.
    """

    def __init__(self, folder: TenantFolder) -> None:
        self.folder = folder
        self._lock = Lock()
        self._open: OpenIndex | None = None
        self._pointer: FileState | None = None
        self._commit: FileState | None = None
        self._reported: FileState | None = None
        """The pointer to the last index that was reported as damaged."""

    def get_searcher(self) -> tuple[tantivy.Searcher, QueryBuilder]:
        """Returns the newest commit. Raises IndexMissing if there is no index that can be read."""
        with self._lock:
            try:
                opened = self._reload()
            except IndexMissing:
                # A new index may have taken its place at just this moment.
                self._open = None
                opened = self._reload()
            return opened.handle.searcher(), opened.queries

    def mark_damaged(self, error: BaseException) -> None:
        """Marks the index that is open as damaged, for all processes."""
        self.folder.mark_damaged(self._pointer)
        # Every search fails until the index is built again, or for longer if the mark cannot be written.
        if self._reported != self._pointer:
            self._reported = self._pointer
            structlog.get_logger().warning("search_index_damaged", tenant=self.folder.tenant, error=str(error))

    def _reload(self) -> OpenIndex:
        pointer = read_state(self.folder.pointer)
        if self._open is not None and pointer != self._pointer:
            self._open = None
        self._pointer = pointer
        try:
            return self._open_newest()
        except BaseException as error:
            if not is_engine_failure(error):
                raise
            self._open = None
            if not shows_damage(error):
                raise Unavailable(f"the search index cannot be read now: {error}", hint="try again later") from error
            self.mark_damaged(error)
            raise self.folder.missing("is damaged") from error

    def _open_newest(self) -> OpenIndex:
        if self._open is None:
            folder = self.folder.find_index()
            self._commit = read_state(folder / "meta.json")
            index = open_index(folder)
            index.config_reader("manual")
            index.reload()
            self._open = OpenIndex(folder, index, QueryBuilder(index.schema))
            return self._open
        commit = read_state(self._open.folder / "meta.json")
        if commit is None:
            raise self.folder.missing("has been deleted")
        if commit != self._commit:
            self._open.handle.reload()
            self._commit = commit
        return self._open
