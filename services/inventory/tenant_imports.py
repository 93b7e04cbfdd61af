"""Applies and undoes imports in chunks, each in one transaction that takes effect exactly once.

A chunk stores the counts that it has replaced, on the condition that it has not stored them before. Any number of
services may therefore apply the same import, and an interrupted import is resumed at its first unapplied chunk.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import advance_catalogue
from clients.inventory.request_errors import UNCERTAIN, is_conflict
from clients.inventory.upload import ChunkRow, decode_rows, remove_staged
from clients.persistence import PersistenceClient, StoredItem
from shared.domain.names import fold_names
from shared.domain.orders import iso_time
from shared.domain.records import Action, Condition, Delete, Update
from shared.domain.stock import Cause, ImportState, count_of, ledger_of
from shared.domain.tables import IMPORT_FILES, IMPORT_ROWS, IMPORTS, STOCK
from shared.runtime.backoff import Backoff
from shared.runtime.clock import iso_now, read_clock

_CHUNKS_AT_ONCE = 16
_PAGE_CHUNKS = 64
_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0
_STAGED_SECONDS = 3600.0
"""Time limit for an upload: one that began earlier and is not committed is removed."""


class _Chunk(NamedTuple):
    """Rows of the import `name`, and the counts before they were applied."""

    name: str
    number: int
    version: int
    rows: list[ChunkRow]
    before: list[int | None] | None
    """Counts, None for a new item; None instead of the list until the chunk is applied."""
    undone: int | None
    """The number of rows that could not be undone completely; None until the chunk is undone."""

    @property
    def record_key(self) -> dict[str, Any]:
        """The key of the chunk's record."""
        return {"import": self.name, "number": self.number}

    def marking_update(self, **members: Any) -> Update:
        """Returns the update that marks the chunk as done, on the condition that its record is unchanged."""
        return Update(IMPORT_ROWS.name, self.record_key, set=members, when=Condition(version=self.version))


def _read_chunk(stored: StoredItem) -> _Chunk:
    item = stored.item
    assert item is not None
    before = item.get("before")
    counts = None if before is None else msgspec.json.decode(before, type=list[int | None])
    rows = decode_rows(item["rows"])
    return _Chunk(item["import"], item["number"], stored.version, rows, counts, item.get("undone"))


class _RowCounts(NamedTuple):
    """Rows by outcome."""

    rows: int = 0
    new: int = 0
    changed: int = 0
    same: int = 0
    short: int = 0

    def add_counts(self, other: "_RowCounts") -> "_RowCounts":
        return _RowCounts(*(one + two for one, two in zip(self, other, strict=True)))


class TenantImports:
    """Applies and undoes the imports of one tenant, of which `client` is the view."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._failed_imports: set[str] = set()
        self._log = structlog.get_logger()

    async def process_imports(self) -> bool:
        """Processes imports in the order of their arrival. Returns whether there were any. Raises ClientError."""
        busy = await self._process_imports(ImportState.ACCEPTED, self._apply_import)
        busy = await self._process_imports(ImportState.UNDOING, self._undo_import) or busy
        if not busy:
            await self._remove_abandoned_uploads()
        return busy

    async def _process_imports(self, state: ImportState, process: Callable[[dict[str, Any]], Awaitable[None]]) -> bool:
        page = await self._client.query(IMPORTS.name, "by_state", partition=state.value)
        done = 0
        for stored in page.items:
            assert stored.item is not None
            try:
                await process(stored.item)
                done += 1
            except ClientError:
                raise
            except Exception:
                # An invalid import must not hold up the others. It is retried, and logged once.
                if stored.item["id"] not in self._failed_imports:
                    self._failed_imports.add(stored.item["id"])
                    self._log.exception("import_failed", id=stored.item["id"], state=state.value)
        return done > 0

    async def _remove_abandoned_uploads(self) -> None:
        page = await self._client.query(IMPORTS.name, "staged", page_size=10)
        old = iso_time(read_clock() - round(_STAGED_SECONDS * 1e6))
        for stored in page.items:
            assert stored.item is not None
            if stored.item["begun"] < old:
                await remove_staged(self._client, stored.item["id"])
                self._log.info("abandoned_upload_removed", id=stored.item["id"])

    # Applying.

    async def _apply_import(self, header: dict[str, Any]) -> None:
        began = time.monotonic()
        total = _RowCounts()
        for start in range(0, header["portions"], _PAGE_CHUNKS):
            numbers = range(start, min(start + _PAGE_CHUNKS, header["portions"]))
            for count in await self._process_chunks(header["id"], numbers, self._apply_chunk):
                total = total.add_counts(count)
            await self._store_progress(header["id"], ImportState.ACCEPTED, total, applied=total.rows)
        await self._finish_import(header["id"], ImportState.ACCEPTED, ImportState.APPLIED)
        self._log.info(
            "import_applied",
            id=header["id"],
            name=header["name"],
            source=header["source"],
            rows=total.rows,
            new=total.new,
            changed=total.changed,
            seconds=round(time.monotonic() - began, 2),
        )

    async def _process_chunks(
        self, name: str, numbers: Sequence[int], process: Callable[[_Chunk], Awaitable[_RowCounts]]
    ) -> Sequence[_RowCounts]:
        """Calls `process` for chunks, several at a time, and returns the results."""
        counts: list[_RowCounts] = []
        for start in range(0, len(numbers), _CHUNKS_AT_ONCE):
            keys = [{"import": name, "number": number} for number in numbers[start : start + _CHUNKS_AT_ONCE]]
            found = await self._client.get_items(IMPORT_ROWS.name, keys)
            done = await asyncio.gather(*(process(_read_chunk(stored)) for stored in found), return_exceptions=True)
            for result in done:
                if isinstance(result, BaseException):
                    raise result
                counts.append(result)
        return counts

    async def _apply_chunk(self, chunk: _Chunk) -> _RowCounts:
        def plan(chunk: _Chunk, current: Sequence[StoredItem]) -> list[Action]:
            before = _replaced_counts(chunk.rows, current)
            changed = _change_members(Cause.IMPORT, chunk.name)
            actions: list[Action] = [chunk.marking_update(before=msgspec.json.encode(before).decode())]
            for (store, item, count), stored, had in zip(chunk.rows, current, before, strict=True):
                if had != count:
                    when = Condition(version=stored.version)
                    change = {"count": count, **changed}
                    actions.append(Update(STOCK.name, {"store": store, "item": item}, set=change, when=when))
            return [*actions, advance_catalogue()] if None in before else actions

        before = (await self._transact_once(chunk, lambda chunk: chunk.before is not None, plan)).before
        assert before is not None
        new = sum(had is None for had in before)
        same = sum(had == row[2] for had, row in zip(before, chunk.rows, strict=True))
        return _RowCounts(len(before), new, len(before) - new - same, same)

    async def _transact_once(
        self,
        chunk: _Chunk,
        is_done: Callable[[_Chunk], bool],
        plan: Callable[[_Chunk, Sequence[StoredItem]], list[Action]],
    ) -> _Chunk:
        """Runs a chunk's transaction once, even if several services try, and returns the resulting chunk.

        `plan` builds the transaction from the current counts; its first action marks the chunk as done.
        """
        backoff = Backoff(_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        while not is_done(chunk):
            current = await self._read_counts(chunk)
            try:
                return _read_chunk((await self._client.transact(plan(chunk, current)))[0])
            except Refused as refusal:
                if not is_conflict(refusal):
                    raise
            except UNCERTAIN:
                await asyncio.sleep(backoff.next_delay())
            # A count has changed since it was read, or another service was faster.
            chunk = _read_chunk(await self._client.get_item(IMPORT_ROWS.name, chunk.record_key))
        return chunk

    async def _read_counts(self, chunk: _Chunk) -> Sequence[StoredItem]:
        keys = [{"store": store, "item": item} for store, item, _ in chunk.rows]
        return await self._client.get_items(STOCK.name, keys)

    # Undoing.

    async def _undo_import(self, header: dict[str, Any]) -> None:
        total = _RowCounts()
        for stop in range(header["portions"], 0, -_PAGE_CHUNKS):
            numbers = range(max(stop - _PAGE_CHUNKS, 0), stop)
            for count in await self._process_chunks(header["id"], numbers, self._undo_chunk):
                total = total.add_counts(count)
            left = header["rows"] - total.rows
            await self._store_progress(header["id"], ImportState.UNDOING, _RowCounts(short=total.short), applied=left)
        file = Delete(IMPORT_FILES.name, {"digest": header["digest"]}, Condition(equal={"import": header["id"]}))
        # If the same file was imported again, the digest belongs to that import.
        await self._client.batch([file], safe=True)
        await self._finish_import(header["id"], ImportState.UNDOING, ImportState.UNDONE)
        self._log.info("import_undone", id=header["id"], name=header["name"], short=total.short)

    async def _undo_chunk(self, chunk: _Chunk) -> _RowCounts:
        def plan(chunk: _Chunk, current: Sequence[StoredItem]) -> list[Action]:
            assert chunk.before is not None
            changed = _change_members(Cause.UNDO, chunk.name)
            actions: list[Action] = []
            short, removed = 0, False
            for (store, item, count), had, stored in zip(chunk.rows, chunk.before, current, strict=True):
                now = count_of(stored.item)
                if had == count or now is None:
                    continue
                record_key, when = {"store": store, "item": item}, Condition(version=stored.version)
                left = now - (count - (had or 0))
                if had is None and left == 0:
                    actions.append(Delete(STOCK.name, record_key, when))
                    removed = True
                else:
                    short += left < 0
                    actions.append(Update(STOCK.name, record_key, set={"count": max(left, 0), **changed}, when=when))
            if removed:
                actions.append(advance_catalogue())
            return [chunk.marking_update(undone=short), *actions]

        undone = (await self._transact_once(chunk, lambda chunk: chunk.undone is not None, plan)).undone
        return _RowCounts(len(chunk.rows), short=undone or 0)

    # The import's header.

    async def _store_progress(self, name: str, state: ImportState, total: _RowCounts, *, applied: int) -> None:
        members: dict[str, Any] = {"applied": applied}
        if state is ImportState.ACCEPTED:
            members |= {"new": total.new, "changed": total.changed, "same": total.same}
        else:
            members["short"] = total.short
        await self._update_header(name, state, members)

    async def _finish_import(self, name: str, state: ImportState, end: ImportState) -> None:
        await self._update_header(name, state, {"state": end.value, "finished": iso_now()})

    async def _update_header(self, name: str, state: ImportState, members: dict[str, Any]) -> None:
        """Sets members of the header if it is in `state`: another service may have completed the import."""
        when = Condition(equal={"state": state.value})
        try:
            await self._client.transact([Update(IMPORTS.name, {"id": name}, set=members, when=when)], safe=True)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise


def _replaced_counts(rows: Sequence[ChunkRow], current: Sequence[StoredItem]) -> list[int | None]:
    """Returns the counts that rows replace, in the order of the rows.

    In imports from before names were normalized, two spellings of one item may stand in the same chunk. The last row
    replaces the count, and the earlier ones replace nothing.
    """
    last = {fold_names(ledger_of(store, item)): place for place, (store, item, _) in enumerate(rows)}
    kept = set(last.values())
    return [
        count_of(stored.item) if place in kept else count
        for place, ((_, _, count), stored) in enumerate(zip(rows, current, strict=True))
    ]


def _change_members(cause: Cause, reference: str) -> dict[str, str]:
    return {"cause": cause.value, "reference": reference, "changed": iso_now()}
