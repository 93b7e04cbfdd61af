"""One file of stock on its way in: read as it comes, stored in portions, and put into force by one commit.

Until the commit nothing of it counts; from the commit on all of it does, whoever is killed when: the inventory service
applies the portions, each in one transaction, and goes on where it was. Of the file nothing is held in memory but what
the reader remembers to find rows that stand there twice.
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
from clients.inventory.records import UNCERTAIN, is_conflict
from clients.persistence import PersistenceClient
from shared.csv.reader import Fault, Row, SheetReader
from shared.domain.errors import ComandaError, Conflict, InvalidParams, TooLarge
from shared.domain.orders import iso_time
from shared.domain.records import Action, Condition, Delete, Put, Update
from shared.domain.stock import UNFIT, ImportState, count_of
from shared.domain.tables import IMPORT_FILES, IMPORT_ROWS, IMPORTS, STOCK

PORTION_ROWS = 90
"""With the portion itself and the catalogue they fit one transaction."""
PortionRow = tuple[str, str, int]
"""Store, item and count."""
_PORTIONS_AT_ONCE = 40
_COMPARED_AT_ONCE = 900
_SHOWN = 100
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
# Pieces in which a large part of a file is read, so that others get their turn.
_PIECE_BYTES = 32 * 1024


class Preview(Struct, frozen=True):
    """What a row would change: `before` is None for an item that is new."""

    line: int
    store: str
    item: str
    before: int | None
    after: int


class Report(Struct, frozen=True, omit_defaults=True):
    """What was found in a file. `new`, `changed` and `same` are of a dry run: what would become of its good rows."""

    rows: int
    faults: int
    fault_list: Sequence[Fault]
    """The first hundred."""
    encoding: str
    delimiter: str
    duplicate_of: str | None = None
    """The import by which the very same file has come in already."""
    dry_run: bool = False
    new: int | None = None
    changed: int | None = None
    same: int | None = None
    preview: Sequence[Preview] | None = None
    """The first hundred that would change something."""


class Upload:
    """A file that is fed in part by part, then finished, once. `source` says by which way it comes.

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
        self._reader = SheetReader()
        self._bytes = 0
        self.id = f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(5)}"
        """The import that it becomes."""
        self._rows: list[Row] = []
        self._staged = 0
        self._compared = {"new": 0, "changed": 0, "same": 0}
        self._preview: list[Preview] = []

    @property
    def rows(self) -> int:
        """Good rows so far."""
        return self._reader.rows

    async def feed(self, data: bytes) -> None:
        """Takes the next part of the file. Raises InvalidParams for what is no such file, and what `records` does."""
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            await self.drop()
            raise too_large(self._max_bytes)
        try:
            for start in range(0, len(data), _PIECE_BYTES):
                self._rows += self._reader.feed(data[start : start + _PIECE_BYTES])
                await self._take()
                await asyncio.sleep(0)
        except ComandaError:
            await self.drop()
            raise

    async def _take(self, *, last: bool = False) -> None:
        """Deals with the rows that have gathered, if they are enough."""
        if self._dry_run:
            while len(self._rows) >= _COMPARED_AT_ONCE or (last and self._rows):
                rows, self._rows = self._rows[:_COMPARED_AT_ONCE], self._rows[_COMPARED_AT_ONCE:]
                await self._compare(rows)
        elif self._reader.fault_count and not self._partial:
            # It will be refused; what follows is read for its faults alone.
            self._rows = []
        else:
            enough = PORTION_ROWS * _PORTIONS_AT_ONCE
            while len(self._rows) >= enough or (last and self._rows):
                rows, self._rows = self._rows[:enough], self._rows[enough:]
                await self._stage(rows)

    async def _compare(self, rows: Sequence[Row]) -> None:
        keys = [{"store": row.store, "item": row.item} for row in rows]
        found = await self._records.get_items(STOCK.name, keys)
        for row, stored in zip(rows, found, strict=True):
            before = count_of(stored.item)
            self._compared["new" if before is None else "same" if before == row.count else "changed"] += 1
            if before != row.count and len(self._preview) < _SHOWN:
                self._preview.append(Preview(row.line, row.store, row.item, before, row.count))

    async def _stage(self, rows: Sequence[Row]) -> None:
        if not self._staged:
            header = {
                "id": self.id,
                "name": self._name,
                "source": self._source,
                "state": ImportState.STAGED.value,
                "begun": _now(),
            }
            await self._put([Put(IMPORTS.name, header)])
        portions: list[Action] = []
        for start in range(0, len(rows), PORTION_ROWS):
            portion = [(row.store, row.item, row.count) for row in rows[start : start + PORTION_ROWS]]
            number = self._staged + len(portions)
            portions.append(Put(IMPORT_ROWS.name, {"import": self.id, "number": number, "rows": rows_text(portion)}))
        await self._put(portions)
        self._staged += len(portions)

    async def _put(self, actions: Sequence[Action]) -> None:
        """Stores what may as well be stored twice."""
        for result in await self._records.batch(actions, safe=True):
            if isinstance(result, Refused):
                raise result

    async def finish(self, *, again: bool = False) -> Import | Report:
        """The end of the file: what it has become; of a dry run what was found.

        Raises InvalidParams with a `report` for a file with faults, unless the good rows are to go in alone, and
        Conflict with one for a file that is in already, unless it is to go in `again`. Nothing is left of it then.
        """
        try:
            self._rows += self._reader.finish()
            await self._take(last=True)
            if self._dry_run:
                return await self._found()
            self._check()
            await self._commit(again=again)
        except ComandaError:
            await self.drop()
            raise
        return await get_import(self._records, self.id)

    def _check(self) -> None:
        faults = self._reader.fault_count
        if faults and not self._partial:
            first = self._reader.faults[0]
            raise InvalidParams(
                f"there {'is one fault' if faults == 1 else f'are {faults} faults'} in the file; the first is on line "
                f"{first.line}: expected is {first.expected}, found: {first.found}",
                field=first.field,
                line=first.line,
                column=first.column,
                hint="nothing was stored; mend the file, or ask for the good rows alone (partial)",
                details={"report": self._report()},
            )
        if not self._reader.rows:
            raise InvalidParams(
                "there is no good row in the file" if faults else "there is no row in the file",
                hint="below the header store,item,count each line is one item",
                details={"report": self._report()},
            )

    async def _commit(self, *, again: bool) -> None:
        accepted = {
            "state": ImportState.ACCEPTED.value,
            "received": _now(),
            "rows": self._reader.rows,
            "faults": self._reader.fault_count,
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
                if (other := await self._duplicate()) is not None:
                    raise Conflict(
                        f"the very same file went in already: import {other}",
                        hint="undo that import, or ask for the file to be taken again (again)",
                        details={"report": self._report(other)},
                    ) from None
            except UNCERTAIN:
                if await self._is_committed():
                    return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise Conflict("the import could not be committed", hint="nothing was stored; send the file again")

    async def _is_committed(self) -> bool:
        stored = await self._records.get_item(IMPORTS.name, {"id": self.id})
        return stored.item is not None and stored.item["state"] != ImportState.STAGED

    async def _duplicate(self) -> str | None:
        key = {"digest": self._reader.digest}
        stored = await self._records.get_item(IMPORT_FILES.name, key)
        return None if stored.item is None else str(stored.item["import"])

    async def _found(self) -> Report:
        return self._report(await self._duplicate(), dry_run=True, preview=self._preview, **self._compared)

    def report(self) -> Report:
        """Returns what was found in the file so far."""
        return self._report()

    def _report(self, duplicate_of: str | None = None, **of_dry_run: Any) -> Report:
        reader = self._reader
        return Report(
            rows=reader.rows,
            faults=reader.fault_count,
            fault_list=reader.faults,
            encoding=reader.encoding,
            delimiter=reader.delimiter,
            duplicate_of=duplicate_of,
            **of_dry_run,
        )

    async def drop(self) -> None:
        """Lets go of what was stored of a file that does not go in; what is left, the inventory service removes."""
        if self._staged:
            self._staged = 0
            with contextlib.suppress(ComandaError):
                await remove_staged(self._records, self.id)


def too_large(max_bytes: int) -> TooLarge:
    """Why a file is refused that has more."""
    return TooLarge(
        f"the file is larger than {max_bytes} bytes", hint="the limit is MAX_UPLOAD_BYTES; send it in several files"
    )


async def remove_staged(records: PersistenceClient, name: str) -> None:
    """Removes an import that was not committed, and makes sure that it never is: its head goes first."""
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
    """Removes the rows of an import."""
    while True:
        page = await records.query(IMPORT_ROWS.name, partition=name, page_size=_PORTIONS_AT_ONCE)
        if not page.items:
            return
        keys = [{"import": name, "number": stored.item["number"]} for stored in page.items if stored.item is not None]
        deletes = [Delete(IMPORT_ROWS.name, key) for key in keys]
        await records.batch(actions=deletes, safe=True)


def rows_text(rows: Sequence[PortionRow]) -> str:
    """The rows of a portion as it has them: one text, since a record's values are looked at one by one."""
    return msgspec.json.encode(rows).decode()


def read_rows(text: str) -> list[PortionRow]:
    """The rows of a portion."""
    return msgspec.json.decode(text, type=list[PortionRow])


def _now() -> str:
    return iso_time(time.time_ns() // 1000)
