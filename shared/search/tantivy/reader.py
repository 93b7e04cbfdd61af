"""Reads the index of one tenant, in any process. All calls block, and threads may share a reader."""

from pathlib import Path
from threading import Lock
from typing import NamedTuple

import tantivy

from shared.domain.errors import IndexMissing
from shared.search.tantivy.failures import translated
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

    def mark_damaged(self) -> None:
        """Marks the open index as damaged, for all processes, unless another one has taken its place."""
        with self._lock:
            opened, self._open = self._open, None
            if opened is not None and read_state(self.folder.pointer) == self._pointer:
                self.folder.mark_damaged(opened.folder)

    def _reload(self) -> OpenIndex:
        with translated(self.folder.missing("cannot be read")):
            pointer = read_state(self.folder.pointer)
            if self._open is None or pointer is None or pointer != self._pointer:
                self._open, self._commit = self._open_index()
                self._pointer = pointer
            commit = read_state(self._open.folder / "meta.json")
            if commit is None:
                raise self.folder.missing("has been deleted")
            if commit != self._commit:
                self._open.handle.reload()
                self._commit = commit
            return self._open

    def _open_index(self) -> tuple[OpenIndex, FileState | None]:
        folder = self.folder.find_index()
        commit = read_state(folder / "meta.json")
        index = open_index(folder)
        index.config_reader("manual")
        index.reload()
        return OpenIndex(folder, index, QueryBuilder(index.schema)), commit
