"""Lists of orders, read through aiosqlite so that a long read never holds the event loop."""

import asyncio
from pathlib import Path
from typing import Any

import aiosqlite

from shared.domain.errors import StoreError
from shared.stores.orders import CANCELLED, FAILED, QUEUED, STATES
from shared.stores.ports import Page, Query
from shared.stores.sqlite.database import connect, translated
from shared.stores.sqlite.files import Files
from shared.stores.sqlite.rows import JOINED, ORDER_COLUMNS, OrderReader
from shared.wire.orders import customer_start

# One read looks at no more rows than this: a longer one would keep the write-ahead log from being reused.
_WINDOW = 50_000


def attach(files: Files) -> Any:
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
    """Answers `Query`; opens its connection on first use."""

    def __init__(self, files: Files, reader: OrderReader) -> None:
        self._files = files
        self._reader = reader
        self._connection: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    async def list(self, query: Query) -> Page:
        """A page of orders, newest first. Raises StoreError."""
        with translated(Path(self._files.orders)):
            async with self._opening:
                if self._connection is None:
                    self._connection = await aiosqlite.Connection(lambda: attach(self._files), 64)
            return await self._page(self._connection, query)

    async def _page(self, connection: aiosqlite.Connection, query: Query) -> Page:
        conditions, values = _conditions(query)
        newest = await connection.execute_fetchall("SELECT coalesce(max(sequence), 0) + 1 FROM orders")
        before = int(next(iter(newest))[0])
        if query.before is not None:
            before = min(query.before, before)
        state = None if query.state is None else STATES.index(query.state)
        # Rare states have an index; everything else is found by going back through the sequence.
        rare = state in (FAILED, CANCELLED)
        rows: list[Any] = []
        while before > 1 and len(rows) < query.limit:
            after = 0 if rare else max(before - 1 - _WINDOW, 0)
            source = "progress.progress p JOIN orders o ON o.sequence = p.sequence" if rare else JOINED
            key = "p.sequence" if rare else "o.sequence"
            rows += await connection.execute_fetchall(
                f"SELECT {ORDER_COLUMNS} FROM {source} WHERE {key} < ? AND {key} > ?{conditions} "
                f"ORDER BY {key} DESC LIMIT ?",
                (before, after, *values, query.limit - len(rows)),
            )
            before = after + 1
        if len(rows) == query.limit:
            before = rows[-1][0]
        return Page([self._reader.order(row) for row in rows], before if before > 1 else None)

    async def close(self) -> None:
        """Ends the thread that reads."""
        if self._connection is not None:
            await self._connection.close()


def _conditions(query: Query) -> tuple[str, list[Any]]:
    text = ""
    values: list[Any] = []
    if query.state is not None:
        state = STATES.index(query.state)
        text += " AND (p.state IS NULL OR p.state = ?)" if state == QUEUED else " AND p.state = ?"
        values.append(state)
    if query.customer is not None:
        prefix = customer_start(query.customer)
        text += " AND substr(o.document, 1, ?) = ?"
        values += [len(prefix), prefix]
    if query.since is not None:
        text += " AND o.received >= ?"
        values.append(query.since)
    if query.until is not None:
        text += " AND o.received < ?"
        values.append(query.until)
    return text, values
