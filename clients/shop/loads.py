"""Loads of books: files of books are read, added to a shop in chunks, listed, and undone.

A load is identified by the bytes of its file, and adds the books that the shop does not have; those that are there
stay as they are. So a load that was interrupted, or run twice, can simply be run again.
"""

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from clients.errors import Refused
from clients.inventory.catalogue import advance_catalogue
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient
from clients.shop.books import (
    StoredBook,
    addition_of,
    build_book,
    count_listed,
    get_books,
    removal_of,
    reserve_numbers,
    stock_key,
)
from shared.csv.books import BookReader, BookRow
from shared.csv.reader import RowError
from shared.domain.errors import Conflict, InvalidParams, NotFound, TooLarge
from shared.domain.ids import new_uuid7
from shared.domain.records import MAX_ACTIONS, Action, Condition, Delete, Put, Update
from shared.domain.stock import UNFIT
from shared.domain.tables import BOOK_ISBNS, BOOK_LOAD_ROWS, BOOK_LOADS, STOCK
from shared.runtime.clock import iso_now
from shared.wire.strict_json import shorten_text

CHUNK_BOOKS: Final = (MAX_ACTIONS - 4) // 3
"""Books of one transaction: each takes three actions, and the chunk four more."""
_BLOCK_ROWS: Final = 30 * CHUNK_BOOKS
_CHUNKS_AT_ONCE: Final = 4
_ATTEMPTS: Final = 20
_ID_DIGITS: Final = 20

LoadState = Literal["loading", "loaded", "undoing", "undone"]


class LoadDefaults(Struct, frozen=True):
    """Values of books whose row does not have them: a price in minor units, copies, and texts."""

    price: int | None = None
    stock: int | None = None
    category: str = ""
    editorial: str = ""


class LoadReport(Struct, frozen=True, omit_defaults=True):
    """The result of reading a file: `faults` rows are no books, `notes` values were left out of their books.

    `new` and `present` are the books that the load adds, or would add, and those that the shop has already.
    """

    rows: int
    without_isbn: int
    faults: int
    notes: int
    fault_list: Sequence[RowError] = ()
    note_list: Sequence[RowError] = ()
    new: int | None = None
    present: int | None = None


class Load(Struct, frozen=True):
    """A loaded file: `books` of its rows were added and are still there."""

    load: str
    name: str
    state: LoadState
    begun: datetime.datetime
    rows: int = 0
    books: int = 0
    faults: int = 0
    kept: int = 0
    """After an undo: books that were changed since the load, and stay."""


class BookLoad:
    """A load that is fed in parts, then checked, and added. Raises TooLarge beyond `max_bytes`."""

    def __init__(
        self, records: PersistenceClient, *, name: str, exponent: int, max_bytes: int, defaults: LoadDefaults
    ) -> None:
        self._records = records
        self._name = UNFIT.sub("\ufffd", name)
        self._max_bytes = max_bytes
        self._defaults = defaults
        self._reader = BookReader(exponent=exponent, this_year=datetime.datetime.now(datetime.UTC).year)
        self._bytes = 0
        self._rows: list[BookRow] = []

    @property
    def load(self) -> str:
        """The id of the load."""
        return self._reader.digest[:_ID_DIGITS]

    @property
    def rows(self) -> int:
        """The number of valid rows so far."""
        return self._reader.rows

    def feed(self, data: bytes) -> None:
        """Reads the next part of the file. Raises InvalidParams for an unreadable file."""
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            raise TooLarge(
                f"the file is larger than {self._max_bytes} bytes",
                hint="the limit is MAX_UPLOAD_BYTES; load it in several files",
            )
        self._rows += self._reader.feed(data)

    def finish(self, *, partial: bool) -> None:
        """Ends the file. Raises InvalidParams with a `report` if a row is no book, unless `partial` is set."""
        self._rows += self._reader.finish()
        faults = self._reader.error_count
        if faults and not partial:
            first = self._reader.errors[0]
            raise InvalidParams(
                f"{faults} of the rows are no books; the first is on line {first.line}: expected {first.expected}, "
                f"found {first.found}",
                field=first.field,
                line=first.line,
                column=first.column,
                hint="nothing was stored; correct the file, or load its other rows (partial)",
                details={"report": self.build_report()},
            )
        if not self._rows:
            raise InvalidParams("the file has no books", details={"report": self.build_report()})

    async def compare(self, progress: Callable[[int], None]) -> LoadReport:
        """Returns what the load would do, and changes nothing. Calls `progress` with the number of compared rows."""
        new = done = 0
        for block in self._blocks():
            new += len(await self._missing_rows(block))
            done += len(block)
            progress(done)
        return self.build_report(new=new, present=len(self._rows) - new)

    async def add(self, progress: Callable[[int], None]) -> LoadReport:
        """Adds the books that the shop does not have. Calls `progress` with the number of rows that are done.

        Raises Conflict if the load is being undone.
        """
        await self._begin()
        new = done = 0
        room = asyncio.Semaphore(_CHUNKS_AT_ONCE)

        async def add_chunk(rows: Sequence[BookRow], seq: int) -> int:
            async with room:
                return await self._add_chunk(rows, seq)

        for block in self._blocks():
            if missing := await self._missing_rows(block):
                seq = await reserve_numbers(self._records, len(missing))
                chunks = [missing[at : at + CHUNK_BOOKS] for at in range(0, len(missing), CHUNK_BOOKS)]
                added = await asyncio.gather(
                    *(add_chunk(rows, seq + at * CHUNK_BOOKS) for at, rows in enumerate(chunks)),
                    return_exceptions=True,
                )
                for outcome in added:
                    if isinstance(outcome, BaseException):
                        raise outcome
                    new += outcome
            done += len(block)
            progress(done)
        await self._records.update_item(BOOK_LOADS.name, {"load": self.load}, {"state": "loaded"})
        return self.build_report(new=new, present=len(self._rows) - new)

    async def _begin(self) -> None:
        reader = self._reader
        update = Update(
            BOOK_LOADS.name,
            {"load": self.load},
            set={"name": self._name, "state": "loading", "rows": reader.rows, "faults": reader.error_count, "kept": 0},
            create={"begun": iso_now()},
        )
        stored = await self._records.get_item(BOOK_LOADS.name, {"load": self.load})
        if stored.item is not None and stored.item["state"] == "undoing":
            raise Conflict("the load is being undone", hint=f"end that first: shop undo {self.load}")
        await self._records.transact([update], safe=True)

    def _blocks(self) -> list[list[BookRow]]:
        return [self._rows[at : at + _BLOCK_ROWS] for at in range(0, len(self._rows), _BLOCK_ROWS)]

    async def _missing_rows(self, rows: Sequence[BookRow]) -> list[BookRow]:
        """Returns the rows whose books the shop does not have."""
        claims = await self._records.get_items(BOOK_ISBNS.name, [{"isbn": row.claim} for row in rows])
        return [row for row, claim in zip(rows, claims, strict=True) if claim.item is None]

    async def _add_chunk(self, rows: Sequence[BookRow], seq: int) -> int:
        """Adds books in one transaction; returns how many the shop did not have."""
        for _ in range(_ATTEMPTS):
            books = [
                build_book(self._complete(row), claim=row.claim, seq=number) for number, row in enumerate(rows, seq)
            ]
            chunk = {"load": self.load, "chunk": new_uuid7(time.time_ns())}
            actions: list[Action] = [
                Put(BOOK_LOAD_ROWS.name, {**chunk, "books": [book.book for book in books]}, Condition(exists=False)),
                Update(BOOK_LOADS.name, {"load": self.load}, add={"books": len(books)}),
                count_listed(len(books)),
            ]
            stocked = False
            for book, row in zip(books, rows, strict=True):
                stock = self._defaults.stock if row.stock is None else row.stock
                stocked |= stock is not None
                actions += addition_of(book, stock)
            if stocked:
                actions.append(advance_catalogue())
            try:
                await self._records.transact(actions, safe=True)
            except Refused as refusal:
                if not is_conflict(refusal):
                    raise
                # An earlier attempt whose answer was lost, or another client has added some of the books.
                if (await self._records.get_item(BOOK_LOAD_ROWS.name, chunk)).item is None:
                    rows = await self._missing_rows(rows)
                    if not rows:
                        return 0
                    continue
            return len(rows)
        raise Conflict("other clients keep adding the same books", hint="load the file again later")

    def _complete(self, row: BookRow) -> dict[str, Any]:
        """Returns the members of a row's book, with the defaults for those that the row does not have."""
        given = {"price": self._defaults.price, "category": self._defaults.category}
        given["editorial"] = self._defaults.editorial
        return {**row.members, **{name: row.members.get(name) or value for name, value in given.items()}}

    def build_report(self, *, new: int | None = None, present: int | None = None) -> LoadReport:
        """Returns the result of reading the file so far."""
        reader = self._reader
        return LoadReport(
            reader.rows,
            reader.without_isbn,
            reader.error_count,
            reader.note_count,
            reader.errors,
            reader.notes,
            new,
            present,
        )


async def get_load(records: PersistenceClient, load: str) -> Load:
    """Returns one load. Raises NotFound."""
    stored = await records.get_item(BOOK_LOADS.name, {"load": load})
    if stored.item is None:
        raise NotFound(f"there is no load {shorten_text(load)}", hint="`shop loads` lists what there is")
    return msgspec.convert(stored.item, Load)


async def list_loads(records: PersistenceClient, *, limit: int) -> list[Load]:
    """Returns loads, the latest first."""
    page = await records.query(BOOK_LOADS.name, "by_time", descending=True, page_size=limit)
    return [msgspec.convert(stored.item, Load) for stored in page.items]


async def undo_load(records: PersistenceClient, load: str, progress: Callable[[int], None]) -> Load:
    """Takes the books that a load has added off the list, and their copies out of stock.

    Books that were changed since stay. An undo that was interrupted can be run again. Calls `progress` with the number
    of books that are done. Raises NotFound.
    """
    await get_load(records, load)
    await records.update_item(BOOK_LOADS.name, {"load": load}, {"state": "undoing"})
    done = 0
    while True:
        page = await records.query(BOOK_LOAD_ROWS.name, partition=load, page_size=_CHUNKS_AT_ONCE)
        chunks = [stored.item for stored in page.items if stored.item is not None]
        if not chunks:
            break
        for chunk in chunks:
            await _undo_chunk(records, load, chunk)
            done += len(chunk["books"])
            progress(done)
    written = await records.update_item(BOOK_LOADS.name, {"load": load}, {"state": "undone"})
    return msgspec.convert(written.item, Load)


async def _undo_chunk(records: PersistenceClient, load: str, chunk: dict[str, Any]) -> None:
    """Removes the books of one chunk, and the chunk, in one transaction."""
    key = {"load": load, "chunk": chunk["chunk"]}
    for _ in range(_ATTEMPTS):
        found = [one for one in await get_books(records, chunk["books"]) if one is not None and one.book.active]
        gone = [one for one in found if one.book.updated_at == one.book.created_at]
        kept = len(found) - len(gone)
        actions: list[Action] = [
            Delete(BOOK_LOAD_ROWS.name, key, Condition(exists=True)),
            Update(BOOK_LOADS.name, {"load": load}, add={"books": kept - len(chunk["books"]), "kept": kept}),
        ]
        for one in gone:
            actions += [*removal_of(one.book, Condition(version=one.version)), *_stock_removal(one)]
        if gone:
            actions.append(count_listed(-len(gone)))
        if any(one.stock_version for one in gone):
            actions.append(advance_catalogue())
        try:
            await records.transact(actions, safe=True)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            if (await records.get_item(BOOK_LOAD_ROWS.name, key)).item is not None:
                continue
        return
    raise Conflict("other clients keep changing the books of the load", hint="undo it again later")


def _stock_removal(one: StoredBook) -> list[Action]:
    if not one.stock_version:
        return []
    return [Delete(STOCK.name, stock_key(one.book.book), Condition(version=one.stock_version))]
