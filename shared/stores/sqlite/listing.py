"""Lists of orders, read in a thread of their own so that a long read never holds the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from shared.domain.errors import StoreError
from shared.stores.ports.orders import Page, Query
from shared.stores.sqlite.database import Connection, connect, is_damage, sqlite, translated
from shared.stores.sqlite.files import Files
from shared.stores.sqlite.order_index import NOTHING, attach_index, delete_index, file_number, read_coverage
from shared.stores.sqlite.order_search import OrderSearch
from shared.stores.sqlite.rows import OrderReader


def attach(files: Files) -> Connection:
    """A reading connection on both files, `progress` attached under that name."""
    connection = connect(files.orders, read_only=True)
    try:
        with translated(files.progress):
            connection.execute("ATTACH DATABASE ? AS progress", (str(files.progress),))
    except StoreError:
        connection.close()
        raise
    return connection


class Lister:
    """Answers `Query`, one after the other; opens its connection on first use."""

    def __init__(self, files: Files, reader: OrderReader) -> None:
        self._files = files
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lists")
        self._connection: Connection | None = None
        self._index: tuple[int, int] | None = None
        """Which file is attached as the index."""

    async def list(self, query: Query) -> Page:
        """A page of orders, newest first. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._list, query)

    def _list(self, query: Query) -> Page:
        with translated(self._files.orders):
            try:
                return self._find(query)
            except sqlite.DatabaseError as error:
                if not is_damage(error) or file_number(self._files) is None:
                    raise
            # The index is damaged, or the orders are: in that case reading them alone says so.
            self._disconnect()
            delete_index(self._files)
            return self._find(query)

    def _find(self, query: Query) -> Page:
        if self._index != file_number(self._files):
            # It was made, made again, or deleted.
            self._disconnect()
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        coverage = NOTHING if self._index is None else read_coverage(self._connection)
        rows, before = OrderSearch(self._connection, coverage, query).find()
        return Page([self._reader.order(row) for row in rows], before)

    def _connect(self) -> None:
        self._connection = attach(self._files)
        self._index = file_number(self._files)
        if self._index is not None:
            attach_index(self._connection, self._files)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._index = None

    async def close(self) -> None:
        """Ends the thread that reads."""
        self._thread.shutdown()
        self._disconnect()
