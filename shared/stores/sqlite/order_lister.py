"""Lists of orders, read in a separate thread so that a long read never blocks the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from shared.domain.errors import StoreError
from shared.stores.ports.orders import OrderListQuery, OrderPage
from shared.stores.sqlite.database import Connection, connect, is_damage, sqlite, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_index import NOTHING, attach_index, delete_index, file_number, read_coverage
from shared.stores.sqlite.order_search import OrderSearch
from shared.stores.sqlite.rows import OrderReader


def connect_order_files(files: StoreFiles, *, wait_seconds: float = 5.0) -> Connection:
    """Opens a read-only connection on both files; `progress` is attached under that name."""
    connection = connect(files.orders, read_only=True, wait_seconds=wait_seconds)
    try:
        with translate_errors(files.progress):
            connection.execute("ATTACH DATABASE ? AS progress", (str(files.progress),))
    except StoreError:
        connection.close()
        raise
    return connection


class SqliteOrderLister:
    """Lists orders, one query after the other; opens its connection on first use."""

    def __init__(self, files: StoreFiles, reader: OrderReader) -> None:
        self._files = files
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lists")
        self._connection: Connection | None = None
        self._index: tuple[int, int] | None = None
        """The identity of the attached index file."""

    async def list_orders(self, query: OrderListQuery) -> OrderPage:
        """Returns a page of orders, newest first. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._list_page, query)

    def _list_page(self, query: OrderListQuery) -> OrderPage:
        with translate_errors(self._files.orders):
            try:
                return self._find_page(query)
            except sqlite.DatabaseError as error:
                if not is_damage(error) or file_number(self._files) is None:
                    raise
            # The index or the orders are damaged; in the second case reading without the index fails as well.
            self._close_connection()
            delete_index(self._files)
            return self._find_page(query)

    def _find_page(self, query: OrderListQuery) -> OrderPage:
        if self._index != file_number(self._files):
            # The index was created, rebuilt or deleted.
            self._close_connection()
        if self._connection is None:
            self._open_connection()
        assert self._connection is not None
        coverage = NOTHING if self._index is None else read_coverage(self._connection)
        rows, before = OrderSearch(self._connection, coverage, query).find_page()
        return OrderPage([self._reader.read_order(row) for row in rows], before)

    def _open_connection(self) -> None:
        self._connection = connect_order_files(self._files)
        self._index = file_number(self._files)
        if self._index is not None:
            attach_index(self._connection, self._files)

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._index = None

    async def close(self) -> None:
        """Ends the reading thread."""
        self._thread.shutdown()
        self._close_connection()
