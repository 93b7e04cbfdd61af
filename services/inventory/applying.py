"""Puts imports into force, and takes them back: portion by portion, each in one transaction that is done once.

A portion remembers what it has replaced, and whoever applies it writes that on the condition that nobody has yet. So
any number of services may apply one import, and one that is killed in the middle is gone on with.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import catalogue_changed
from clients.inventory.records import UNCERTAIN, is_conflict
from clients.inventory.upload import PortionRow, read_rows, remove_staged
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.patience import Patience
from shared.domain.names import fold_names
from shared.domain.orders import iso_time
from shared.domain.records import Action, Condition, Delete, Update
from shared.domain.stock import Cause, ImportState, count_of, ledger_of
from shared.domain.tables import IMPORT_FILES, IMPORT_ROWS, IMPORTS, STOCK

_PORTIONS_AT_ONCE = 16
_PAGE_PORTIONS = 64
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0
_STAGED_SECONDS = 3600.0
"""How long an upload may take: one that was begun before that, and is not committed, is removed."""


class _Portion(NamedTuple):
    """Rows of the import `name`, and what was there before they were applied."""

    name: str
    number: int
    version: int
    rows: list[PortionRow]
    before: list[int | None] | None
    """Counts, None where there was no item; None as a whole before it is applied."""
    undone: int | None
    """How many rows could not be taken back in full; None before it is."""

    @property
    def key(self) -> dict[str, Any]:
        """Where it is stored."""
        return {"import": self.name, "number": self.number}

    def marked(self, **members: Any) -> Update:
        """The part of a transaction that says that this was done, on the condition that nobody has."""
        return Update(IMPORT_ROWS.name, self.key, set=members, when=Condition(version=self.version))


def _portion(stored: StoredItem) -> _Portion:
    item = stored.item
    assert item is not None
    before = item.get("before")
    counts = None if before is None else msgspec.json.decode(before, type=list[int | None])
    rows = read_rows(item["rows"])
    return _Portion(item["import"], item["number"], stored.version, rows, counts, item.get("undone"))


class _Tally(NamedTuple):
    """What became of rows."""

    rows: int = 0
    new: int = 0
    changed: int = 0
    same: int = 0
    short: int = 0

    def plus(self, other: "_Tally") -> "_Tally":
        return _Tally(*(one + two for one, two in zip(self, other, strict=True)))


class Applier:
    """Applies what was accepted, until cancelled. `wake` says that there may be something."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client
        self._woken = asyncio.Event()
        self._broken: set[str] = set()
        self._patience = Patience("imports")
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """An import has come in, or is to be taken back."""
        self._woken.set()

    async def run(self) -> None:
        """Works off imports in the order in which they came."""
        while True:
            self._woken.clear()
            try:
                busy = await self._work(ImportState.ACCEPTED, self._apply)
                busy = await self._work(ImportState.UNDOING, self._undo) or busy
                if not busy:
                    await self._remove_left_behind()
                self._patience.answered()
            except ClientError as error:
                await self._patience.wait(error)
                busy = True
            if not busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._woken.wait()

    async def _work(self, state: ImportState, do: Callable[[dict[str, Any]], Awaitable[None]]) -> bool:
        page = await self._client.query(IMPORTS.name, "by_state", partition=state.value)
        done = 0
        for stored in page.items:
            assert stored.item is not None
            try:
                await do(stored.item)
                done += 1
            except ClientError:
                raise
            except Exception:
                # One that is not as it should be must not hold up all others; it is tried again, and told of once.
                if stored.item["id"] not in self._broken:
                    self._broken.add(stored.item["id"])
                    self._log.exception("an import cannot be worked off", id=stored.item["id"], state=state.value)
        return done > 0

    async def _remove_left_behind(self) -> None:
        page = await self._client.query(IMPORTS.name, "staged", page_size=10)
        old = iso_time(time.time_ns() // 1000 - round(_STAGED_SECONDS * 1e6))
        for stored in page.items:
            assert stored.item is not None
            if stored.item["begun"] < old:
                await remove_staged(self._client, stored.item["id"])
                self._log.info("an upload that never ended was removed", id=stored.item["id"])

    # Into force.

    async def _apply(self, header: dict[str, Any]) -> None:
        began = time.monotonic()
        total = _Tally()
        for start in range(0, header["portions"], _PAGE_PORTIONS):
            numbers = range(start, min(start + _PAGE_PORTIONS, header["portions"]))
            for tally in await self._portions(header["id"], numbers, self._apply_portion):
                total = total.plus(tally)
            await self._progress(header["id"], ImportState.ACCEPTED, total, applied=total.rows)
        await self._end(header["id"], ImportState.ACCEPTED, ImportState.APPLIED)
        self._log.info(
            "imported",
            id=header["id"],
            name=header["name"],
            source=header["source"],
            rows=total.rows,
            new=total.new,
            changed=total.changed,
            seconds=round(time.monotonic() - began, 2),
        )

    async def _portions(
        self, name: str, numbers: Sequence[int], do: Callable[[_Portion], Awaitable[_Tally]]
    ) -> Sequence[_Tally]:
        """What `do` makes of portions, some at a time."""
        tallies: list[_Tally] = []
        for start in range(0, len(numbers), _PORTIONS_AT_ONCE):
            keys = [{"import": name, "number": number} for number in numbers[start : start + _PORTIONS_AT_ONCE]]
            found = await self._client.get_items(IMPORT_ROWS.name, keys)
            done = await asyncio.gather(*(do(_portion(stored)) for stored in found), return_exceptions=True)
            for result in done:
                if isinstance(result, BaseException):
                    raise result
                tallies.append(result)
        return tallies

    async def _apply_portion(self, portion: _Portion) -> _Tally:
        def plan(portion: _Portion, current: Sequence[StoredItem]) -> list[Action]:
            before = _before(portion.rows, current)
            changed = _stamp(Cause.IMPORT, portion.name)
            actions: list[Action] = [portion.marked(before=msgspec.json.encode(before).decode())]
            for (store, item, count), stored, had in zip(portion.rows, current, before, strict=True):
                if had != count:
                    when = Condition(version=stored.version)
                    change = {"count": count, **changed}
                    actions.append(Update(STOCK.name, {"store": store, "item": item}, set=change, when=when))
            return [*actions, catalogue_changed()] if None in before else actions

        before = (await self._once(portion, lambda portion: portion.before is not None, plan)).before
        assert before is not None
        new = sum(had is None for had in before)
        same = sum(had == row[2] for had, row in zip(before, portion.rows, strict=True))
        return _Tally(len(before), new, len(before) - new - same, same)

    async def _once(
        self,
        portion: _Portion,
        is_done: Callable[[_Portion], bool],
        plan: Callable[[_Portion, Sequence[StoredItem]], list[Action]],
    ) -> _Portion:
        """Does a portion's transaction once, whoever else tries: the portion as it is then.

        `plan` makes the transaction, in which what marks the portion comes first, of the counts as they are.
        """
        pause = _RETRY_SECONDS
        while not is_done(portion):
            current = await self._current(portion)
            try:
                return _portion((await self._client.transact(plan(portion, current)))[0])
            except Refused as refusal:
                if not is_conflict(refusal):
                    raise
            except UNCERTAIN:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
            # A count has changed since it was read, or somebody else was faster.
            portion = _portion(await self._client.get_item(IMPORT_ROWS.name, portion.key))
        return portion

    async def _current(self, portion: _Portion) -> Sequence[StoredItem]:
        keys = [{"store": store, "item": item} for store, item, _ in portion.rows]
        return await self._client.get_items(STOCK.name, keys)

    # Taken back.

    async def _undo(self, header: dict[str, Any]) -> None:
        total = _Tally()
        for stop in range(header["portions"], 0, -_PAGE_PORTIONS):
            numbers = range(max(stop - _PAGE_PORTIONS, 0), stop)
            for tally in await self._portions(header["id"], numbers, self._undo_portion):
                total = total.plus(tally)
            left = header["rows"] - total.rows
            await self._progress(header["id"], ImportState.UNDOING, _Tally(short=total.short), applied=left)
        file = Delete(IMPORT_FILES.name, {"digest": header["digest"]}, Condition(equal={"import": header["id"]}))
        # Where the file went in once more, the digest is that import's.
        await self._client.batch([file], safe=True)
        await self._end(header["id"], ImportState.UNDOING, ImportState.UNDONE)
        self._log.info("import undone", id=header["id"], name=header["name"], short=total.short)

    async def _undo_portion(self, portion: _Portion) -> _Tally:
        def plan(portion: _Portion, current: Sequence[StoredItem]) -> list[Action]:
            assert portion.before is not None
            changed = _stamp(Cause.UNDO, portion.name)
            actions: list[Action] = []
            short, removed = 0, False
            for (store, item, count), had, stored in zip(portion.rows, portion.before, current, strict=True):
                now = count_of(stored.item)
                if had == count or now is None:
                    continue
                key, when = {"store": store, "item": item}, Condition(version=stored.version)
                left = now - (count - (had or 0))
                if had is None and left == 0:
                    actions.append(Delete(STOCK.name, key, when))
                    removed = True
                else:
                    short += left < 0
                    actions.append(Update(STOCK.name, key, set={"count": max(left, 0), **changed}, when=when))
            if removed:
                actions.append(catalogue_changed())
            return [portion.marked(undone=short), *actions]

        undone = (await self._once(portion, lambda portion: portion.undone is not None, plan)).undone
        return _Tally(len(portion.rows), short=undone or 0)

    # The head.

    async def _progress(self, name: str, state: ImportState, total: _Tally, *, applied: int) -> None:
        members: dict[str, Any] = {"applied": applied}
        if state is ImportState.ACCEPTED:
            members |= {"new": total.new, "changed": total.changed, "same": total.same}
        else:
            members["short"] = total.short
        await self._set(name, state, members)

    async def _end(self, name: str, state: ImportState, end: ImportState) -> None:
        await self._set(name, state, {"state": end.value, "finished": iso_time(time.time_ns() // 1000)})

    async def _set(self, name: str, state: ImportState, members: dict[str, Any]) -> None:
        """Sets members of the head while it is in a state: another service may have ended it."""
        when = Condition(equal={"state": state.value})
        try:
            await self._client.transact([Update(IMPORTS.name, {"id": name}, set=members, when=when)], safe=True)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise


def _before(rows: Sequence[PortionRow], current: Sequence[StoredItem]) -> list[int | None]:
    """The counts that rows replace; a row whose item stands in a later one, spelled otherwise, replaces nothing.

    Such portions are those that were accepted when each spelling was an item of its own.
    """
    last = {fold_names(ledger_of(store, item)): place for place, (store, item, _) in enumerate(rows)}
    kept = set(last.values())
    return [
        count_of(stored.item) if place in kept else count
        for place, ((_, _, count), stored) in enumerate(zip(rows, current, strict=True))
    ]


def _stamp(cause: Cause, reference: str) -> dict[str, str]:
    return {"cause": cause.value, "reference": reference, "changed": iso_time(time.time_ns() // 1000)}
