"""Uploads of stock files: read as a stream, stored in chunks, and accepted by one commit.

Before the commit nothing of the file takes effect. After it all of the file does, even after a crash: the inventory
service applies the chunks, each in one transaction, and resumes where it was interrupted. Memory holds no rows of the
file beyond the current chunks, and the keys by which the reader finds duplicate rows.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from clients.errors import Refused
from clients.inventory.imports import Import, get_import
from clients.inventory.request_errors import UNCERTAIN, is_conflict
from clients.persistence import PersistenceClient
from shared.csv.reader import CsvReader, RowError, StockRow
from shared.domain.errors import ComandaError, Conflict, InvalidParams, TooLarge
from shared.domain.records import Action, Condition, Delete, Put, Update
from shared.domain.stock import UNFIT, ImportState, count_of
from shared.domain.tables import IMPORT_FILES, IMPORT_ROWS, IMPORTS, STOCK
from shared.runtime.clock import iso_now

CHUNK_ROWS = 90
"""A chunk's rows, its own record and the catalogue fit into one transaction."""
ChunkRow = tuple[str, str, int]
"""Store, item and count."""
_CHUNKS_AT_ONCE = 40
_ROWS_COMPARED_AT_ONCE = 900
_PREVIEW_ROWS = 100
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
# Large parts of a file are parsed in pieces, so that other tasks can run in between.
_PIECE_BYTES = 32 * 1024


class Preview(Struct, frozen=True):
    """The effect of a row: `before` is None for a new item."""

    line: int
    store: str
    item: str
    before: int | None
    after: int


class Report(Struct, frozen=True, omit_defaults=True):
    """The result of reading a file. `new`, `changed` and `same` are set by a dry run: the effects of its valid rows."""

    rows: int
    faults: int
    fault_list: Sequence[RowError]
    """The first hundred errors."""
    encoding: str
    delimiter: str
    duplicate_of: str | None = None
    """The import that the same file has become before."""
    dry_run: bool = False
    new: int | None = None
    changed: int | None = None
    same: int | None = None
    preview: Sequence[Preview] | None = None
    """The first hundred rows that would change a count."""


class Upload:
    """An upload that is fed in parts, then finished once. `source` names its origin.

    Raises TooLarge beyond `max_bytes`. A dry run stores nothing.
    """

    def __init__(
        self,
        records: PersistenceClient,
        *,
        name: str,
        source: str,
        max_bytes: int,
        dry_run: bool = False,
        partial: bool = False,
    ) -> None:
        self._records = records
        self._name = UNFIT.sub("\ufffd", name)
        self._source = source
        self._max_bytes = max_bytes
        self._dry_run = dry_run
        self._partial = partial
        self._reader = CsvReader()
        self._bytes = 0
        self.id = f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(5)}"
        """The id of the resulting import."""
        self._rows: list[StockRow] = []
        self._staged = 0
        self._compared = {"new": 0, "changed": 0, "same": 0}
        self._preview: list[Preview] = []

    @property
    def rows(self) -> int:
        """The number of valid rows so far."""
        return self._reader.rows

    async def feed(self, data: bytes) -> None:
        """Reads the next part of the file. Raises InvalidParams for an unreadable file, and the errors of `records`."""
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            await self.drop()
            raise file_too_large_error(self._max_bytes)
        try:
            for start in range(0, len(data), _PIECE_BYTES):
                self._rows += self._reader.feed(data[start : start + _PIECE_BYTES])
                await self._process_rows()
                await asyncio.sleep(0)
        except ComandaError:
            await self.drop()
            raise

    async def _process_rows(self, *, last: bool = False) -> None:
        """Processes the collected rows if there are enough of them."""
        if self._dry_run:
            while len(self._rows) >= _ROWS_COMPARED_AT_ONCE or (last and self._rows):
                rows, self._rows = self._rows[:_ROWS_COMPARED_AT_ONCE], self._rows[_ROWS_COMPARED_AT_ONCE:]
                await self._compare_rows(rows)
        elif self._reader.error_count and not self._partial:
            # The file will be rejected; the rest of it is only checked for errors.
            self._rows = []
        else:
            enough = CHUNK_ROWS * _CHUNKS_AT_ONCE
            while len(self._rows) >= enough or (last and self._rows):
                rows, self._rows = self._rows[:enough], self._rows[enough:]
                await self._stage_rows(rows)

    async def _compare_rows(self, rows: Sequence[StockRow]) -> None:
        keys = [{"store": row.store, "item": row.item} for row in rows]
        found = await self._records.get_items(STOCK.name, keys)
        for row, stored in zip(rows, found, strict=True):
            before = count_of(stored.item)
            self._compared["new" if before is None else "same" if before == row.count else "changed"] += 1
            if before != row.count and len(self._preview) < _PREVIEW_ROWS:
                self._preview.append(Preview(row.line, row.store, row.item, before, row.count))

    async def _stage_rows(self, rows: Sequence[StockRow]) -> None:
        if not self._staged:
            header = {
                "id": self.id,
                "name": self._name,
                "source": self._source,
                "state": ImportState.STAGED.value,
                "begun": iso_now(),
            }
            await self._store_records([Put(IMPORTS.name, header)])
        portions: list[Action] = []
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = [(row.store, row.item, row.count) for row in rows[start : start + CHUNK_ROWS]]
            number = self._staged + len(portions)
            portions.append(Put(IMPORT_ROWS.name, {"import": self.id, "number": number, "rows": encode_rows(chunk)}))
        await self._store_records(portions)
        self._staged += len(portions)

    async def _store_records(self, actions: Sequence[Action]) -> None:
        """Runs idempotent actions."""
        for result in await self._records.batch(actions, safe=True):
            if isinstance(result, Refused):
                raise result

    async def finish(self, *, again: bool = False) -> Import | Report:
        """Ends the file and commits the import. Returns the import; for a dry run its report.

        Raises InvalidParams with a `report` for a file with invalid rows, unless `partial` is set, and Conflict with
        one for a file that was imported before, unless `again` is set. Nothing remains stored after an error.
        """
        try:
            self._rows += self._reader.finish()
            await self._process_rows(last=True)
            if self._dry_run:
                return await self._build_dry_run_report()
            self._check_rows()
            await self._commit_import(again=again)
        except ComandaError:
            await self.drop()
            raise
        return await get_import(self._records, self.id)

    def _check_rows(self) -> None:
        faults = self._reader.error_count
        if faults and not self._partial:
            first = self._reader.errors[0]
            raise InvalidParams(
                f"the file has {'one error' if faults == 1 else f'{faults} errors'}; the first is on line "
                f"{first.line}: expected {first.expected}, found {first.found}",
                field=first.field,
                line=first.line,
                column=first.column,
                hint="nothing was stored; correct the file, or import only its valid rows (partial)",
                details={"report": self.build_report()},
            )
        if not self._reader.rows:
            raise InvalidParams(
                "the file has no valid row" if faults else "the file has no rows",
                hint="write one item in each line after the header store,item,count",
                details={"report": self.build_report()},
            )

    async def _commit_import(self, *, again: bool) -> None:
        accepted = {
            "state": ImportState.ACCEPTED.value,
            "received": iso_now(),
            "rows": self._reader.rows,
            "faults": self._reader.error_count,
            "portions": self._staged,
            "digest": self._reader.digest,
            "applied": 0,
        }
        staged = Condition(equal={"state": ImportState.STAGED.value})
        file = {"digest": self._reader.digest, "import": self.id}
        actions: list[Action] = [
            Update(IMPORTS.name, {"id": self.id}, set=accepted, remove=["begun"], when=staged),
            Put(IMPORT_FILES.name, file, None if again else Condition(exists=False)),
        ]
        for _ in range(_ATTEMPTS):
            try:
                await self._records.transact(actions)
                return
            except Refused as refusal:
                if not is_conflict(refusal):
                    raise
                if await self._is_committed():
                    return
                if (other := await self._find_duplicate()) is not None:
                    raise Conflict(
                        f"the same file was imported before: import {other}",
                        hint="undo that import, or import the file again (again)",
                        details={"report": self.build_report(other)},
                    ) from None
            except UNCERTAIN:
                if await self._is_committed():
                    return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise Conflict("the import could not be committed", hint="nothing was stored; send the file again")

    async def _is_committed(self) -> bool:
        stored = await self._records.get_item(IMPORTS.name, {"id": self.id})
        return stored.item is not None and stored.item["state"] != ImportState.STAGED

    async def _find_duplicate(self) -> str | None:
        key = {"digest": self._reader.digest}
        stored = await self._records.get_item(IMPORT_FILES.name, key)
        return None if stored.item is None else str(stored.item["import"])

    async def _build_dry_run_report(self) -> Report:
        return self.build_report(await self._find_duplicate(), dry_run=True, preview=self._preview, **self._compared)

    def build_report(self, duplicate_of: str | None = None, **of_dry_run: Any) -> Report:
        """Returns the result of reading the file so far."""
        reader = self._reader
        return Report(
            rows=reader.rows,
            faults=reader.error_count,
            fault_list=reader.errors,
            encoding=reader.encoding,
            delimiter=reader.delimiter,
            duplicate_of=duplicate_of,
            **of_dry_run,
        )

    async def drop(self) -> None:
        """Deletes the stored rows of a rejected file; the inventory service deletes what could not be reached."""
        if self._staged:
            self._staged = 0
            with contextlib.suppress(ComandaError):
                await remove_staged(self._records, self.id)


def file_too_large_error(max_bytes: int) -> TooLarge:
    """Returns the error for a file that exceeds the limit."""
    return TooLarge(
        f"the file is larger than {max_bytes} bytes", hint="the limit is MAX_UPLOAD_BYTES; send it in several files"
    )


async def remove_staged(records: PersistenceClient, name: str) -> None:
    """Deletes an import that is not committed. Its header is deleted first, so that it cannot be committed any more."""
    when = Condition(equal={"state": ImportState.STAGED.value})
    try:
        await records.transact([Delete(IMPORTS.name, {"id": name}, when)])
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        stored = await records.get_item(IMPORTS.name, {"id": name})
        if stored.item is not None:
            return
    await remove_rows(records, name)


async def remove_rows(records: PersistenceClient, name: str) -> None:
    """Deletes the rows of an import."""
    while True:
        page = await records.query(IMPORT_ROWS.name, partition=name, page_size=_CHUNKS_AT_ONCE)
        if not page.items:
            return
        keys = [{"import": name, "number": stored.item["number"]} for stored in page.items if stored.item is not None]
        deletes = [Delete(IMPORT_ROWS.name, key) for key in keys]
        await records.batch(actions=deletes, safe=True)


def encode_rows(rows: Sequence[ChunkRow]) -> str:
    """Encodes the rows of a chunk as one text, since a store checks the values of a record one by one."""
    return msgspec.json.encode(rows).decode()


def decode_rows(text: str) -> list[ChunkRow]:
    """Decodes the rows of a chunk."""
    return msgspec.json.decode(text, type=list[ChunkRow])
