"""The feed of records of a persistence server on this machine, read from its file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiosqlite

from shared.domain.errors import Gone, InvalidParams, StoreError
from shared.domain.records import Record, Table
from shared.stores.ports.records import Changes
from shared.stores.sqlite.database import Connection, StoreBusy, connect, translate_errors
from shared.stores.sqlite.record_changes import NEWEST, decode_item, read_changes

_ITEMS = """
SELECT i.partition, i.sort, i.version, i.document FROM items i JOIN names n ON n.id = i.collection
WHERE n.name = ? AND (i.partition, i.sort) > (?, ?) ORDER BY i.partition, i.sort LIMIT ?"""
_PAGE = 1000


class SqliteRecordFeed:
    """Implements `RecordFeed` for some tables. The file is read-only and need not exist yet."""

    def __init__(self, path: Path, tables: Sequence[Table]) -> None:
        self._path = path
        self._declared = {table.name: table for table in tables}
        self._tables: dict[int, Table] = {}
        self._look: Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._seen: int | None = None
        self._opening = asyncio.Lock()

    async def read_changes(self, after: str | None, *, limit: int) -> Changes | None:
        """See `RecordFeed.read_changes`."""
        reader = await self._open_reader()
        if reader is None or self._look is None:
            return None
        with translate_errors(self._path):
            # In this thread: a call of another thread fifty times a second would be more expensive.
            version = self._look.execute("PRAGMA data_version").fetchone()[0]
            if after is not None and version == self._seen:
                return Changes([], after)
            try:
                found = await read_changes(reader, self._tables, after or "0", limit)
            except InvalidParams as error:
                raise Gone("the position is not one of this store") from error
        if found.position == after:
            self._seen = version
        return found

    async def newest_position(self) -> str:
        """See `RecordFeed.newest_position`."""
        reader = await self._open_reader()
        if reader is None:
            raise StoreError(f"{self._path.name} is not there")
        with translate_errors(self._path):
            ((newest,),) = await reader.execute_fetchall(NEWEST)
        return str(newest)

    async def read_items(self, table: Table) -> AsyncIterator[list[Record]]:
        """See `RecordFeed.read_items`."""
        reader = await self._open_reader()
        after = ("", "")
        while reader is not None:
            with translate_errors(self._path):
                rows = list(await reader.execute_fetchall(_ITEMS, (table.name, *after, _PAGE)))
            if not rows:
                return
            yield [Record(decode_item(document), version) for _, _, version, document in rows]
            after = (rows[-1][0], rows[-1][1])

    async def _open_reader(self) -> aiosqlite.Connection | None:
        async with self._opening:
            if self._reader is None and self._path.exists():
                look = None
                try:
                    # The event loop of the service stands still meanwhile.
                    look = connect(self._path, read_only=True, wait_seconds=0)
                    with translate_errors(self._path):
                        if self._find_tables(look):
                            self._reader = await aiosqlite.Connection(lambda: connect(self._path, read_only=True), 64)
                            self._look, look = look, None
                except StoreBusy:
                    # The server is still creating the file.
                    pass
                finally:
                    if look is not None:
                        look.close()
        return self._reader

    def _find_tables(self, look: Connection) -> bool:
        """Whether the file has the tables: the server creates them before it accepts requests."""
        names: dict[str, int] = {}
        if look.execute("PRAGMA user_version").fetchone()[0]:
            names = dict(look.execute("SELECT name, id FROM names").fetchall())
        if not names.keys() >= self._declared.keys():
            return False
        self._tables = {names[name]: table for name, table in self._declared.items()}
        return True

    async def close(self) -> None:
        """See `RecordFeed.close`."""
        if self._reader is not None:
            await self._reader.close()
        if self._look is not None:
            self._look.close()
