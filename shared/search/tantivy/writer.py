"""Writes the index of one tenant. All calls block; an index has one writer in all processes."""

from collections.abc import Sequence
from pathlib import Path

import tantivy

from shared.search.port import IndexChange, IndexedBook, RemovedBook
from shared.search.tantivy.queries import QueryBuilder
from shared.search.tantivy.schema import (
    POSITION_ID,
    make_document,
    make_position_document,
    make_schema,
    read_stored,
)

_THREADS = 1
"""A thread more takes memory and makes more segments; one indexes thousands of books a second."""


def create_index(folder: Path) -> tantivy.Index:
    """Returns a new index in an empty folder."""
    return tantivy.Index(make_schema(), str(folder))


def open_index(folder: Path) -> tantivy.Index:
    """Returns the index in a folder."""
    return tantivy.Index.open(str(folder))


class IndexWriter:
    """Adds changes to an index and commits them together with a position in the change feed.

    Raises what tantivy raises, among others ValueError if another process has a writer of the index. A writer that has
    failed has to be discarded.
    """

    def __init__(self, index: tantivy.Index, heap_bytes: int) -> None:
        self._index = index
        self._queries = QueryBuilder(index.schema)
        self._writer = self._index.writer(heap_bytes, _THREADS)
        # A kill during a commit can leave files that the index does not know. Operation numbers repeat after a
        # restart, and every commit that wants to create one of these files fails.
        self._writer.garbage_collect_files()
        self._index.config_reader("manual")

    def commit_changes(self, changes: Sequence[IndexChange], position: str) -> None:
        """Stores changes and the position behind them, durably."""
        newest: dict[str, IndexChange] = {}
        for change in changes:
            known = newest.get(change.book)
            if known is None or change.version > known.version:
                newest[change.book] = change
        stored = self._read_versions(list(newest))
        for change in newest.values():
            if change.version <= stored.get(change.book, -1):
                continue
            if change.book in stored:
                self._writer.delete_documents_by_term("book", change.book)
            self._add_change(change)
        self._commit_position(position)

    def add_books(self, books: Sequence[IndexedBook]) -> None:
        """Adds books that are not in the index, without a commit."""
        for book in books:
            self._add_change(book)

    def finish_build(self, position: str) -> None:
        """Commits the books of a new index, and waits until its segments are merged.

        The position comes into a segment of its own: it has no numbers, and numbers that every document of a segment
        has are read twice as fast.
        """
        self._writer.commit()
        self._commit_position(position)
        self._writer.wait_merging_threads()

    def close(self) -> None:
        """Waits until segments are merged, and releases the lock; what has not been committed is gone."""
        self._writer.wait_merging_threads()

    def _add_change(self, change: IndexChange) -> None:
        if isinstance(change, RemovedBook) or not change.active:
            return
        self._writer.add_document(make_document(change))

    def _commit_position(self, position: str) -> None:
        self._writer.delete_documents_by_term("book", POSITION_ID)
        self._writer.add_document(make_position_document(position))
        self._writer.commit()

    def _read_versions(self, books: Sequence[str]) -> dict[str, int]:
        if not books:
            return {}
        searcher = self._reload()
        found = searcher.search(self._queries.match_books(books), len(books), count=False, order_by_field="version")
        return {read_stored(searcher.doc(address)).book: int(version) for version, address in found.hits}

    def _reload(self) -> tantivy.Searcher:
        self._index.reload()
        return self._index.searcher()
