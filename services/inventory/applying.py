"""Puts imports into force, and takes them back: portion by portion, each in one transaction that is done once.

A portion remembers what it has replaced, and whoever applies it writes that on the condition that nobody has yet. So
any number of services may apply one import, and one that is killed in the middle is gone on with.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import catalogue_changed
from clients.inventory.records import UNCERTAIN, Direct, is_conflict
from clients.inventory.upload import remove_staged
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.patience import Patience
from shared.domain.orders import iso_time
from shared.domain.records import Action, Condition, Delete, Update
from shared.domain.stock import Cause, ImportState
from shared.domain.tables import IMPORT_FILES, IMPORT_ROWS, IMPORTS, STOCK

_PORTIONS_AT_ONCE = 16
_PAGE_PORTIONS = 64
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0
_STAGED_SECONDS = 3600.0
"""How long an upload may take: one that was begun before that, and is not committed, is removed."""

_Row = tuple[str, str, int]
_Item = dict[str, Any]
_Mark = Callable[[_Item], Update]


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
        for stored in page.items:
            assert stored.item is not None
            await do(stored.item)
        return bool(page.items)

    async def _remove_left_behind(self) -> None:
        page = await self._client.query(IMPORTS.name, "staged", page_size=10)
        old = iso_time(time.time_ns() // 1000 - round(_STAGED_SECONDS * 1e6))
        for stored in page.items:
            assert stored.item is not None
            if stored.item["begun"] < old:
                await remove_staged(Direct(self._client), stored.item["id"])
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
        self, name: str, numbers: Sequence[int], do: Callable[[str, StoredItem], Awaitable[_Tally]]
    ) -> Sequence[_Tally]:
        """What `do` makes of portions, some at a time."""
        tallies: list[_Tally] = []
        for start in range(0, len(numbers), _PORTIONS_AT_ONCE):
            keys = [{"import": name, "number": number} for number in numbers[start : start + _PORTIONS_AT_ONCE]]
            found = await self._client.get_items(IMPORT_ROWS.name, keys)
            for result in await asyncio.gather(*(do(name, portion) for portion in found), return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
                tallies.append(result)
        return tallies

    async def _apply_portion(self, name: str, portion: StoredItem) -> _Tally:
        def plan(item: _Item, mark: _Mark, current: Sequence[StoredItem]) -> list[Action]:
            before = [None if stored.item is None else stored.item["count"] for stored in current]
            changed = _stamp(Cause.IMPORT, name)
            actions: list[Action] = [mark({"before": before})]
            for (store, article, count), stored, had in zip(item["rows"], current, before, strict=True):
                if had != count:
                    key = {"store": store, "item": article}
                    when = Condition(version=stored.version)
                    actions.append(Update(STOCK.name, key, set={"count": count, **changed}, when=when))
            if None in before:
                actions.append(catalogue_changed())
            return actions

        item = await self._once(portion, "before", plan)
        counts = [count for _, _, count in item["rows"]]
        new = sum(had is None for had in item["before"])
        same = sum(had == count for had, count in zip(item["before"], counts, strict=True))
        return _Tally(len(counts), new, len(counts) - new - same, same)

    async def _once(
        self,
        portion: StoredItem,
        done: str,
        plan: Callable[[_Item, _Mark, Sequence[StoredItem]], list[Action]],
    ) -> _Item:
        """Does a portion's transaction once, whoever else tries: the portion as it is then, with the member `done`.

        `plan` makes the transaction of the portion, what marks it as done, and the counts as they are.
        """
        pause = _RETRY_SECONDS
        while True:
            item = portion.item
            assert item is not None
            if done in item:
                return item
            current = await self._current(item["rows"])
            actions = plan(item, partial(_mark, portion), current)
            try:
                return (await self._client.transact(actions))[0].item or item
            except Refused as refusal:
                if not is_conflict(refusal):
                    raise
            except UNCERTAIN:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
            # A count has changed since it was read, or somebody else was faster.
            key = {"import": item["import"], "number": item["number"]}
            portion = await self._client.get_item(IMPORT_ROWS.name, key)

    async def _current(self, rows: Sequence[_Row]) -> Sequence[StoredItem]:
        keys = [{"store": store, "item": item} for store, item, _ in rows]
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

    async def _undo_portion(self, name: str, portion: StoredItem) -> _Tally:
        def plan(item: _Item, mark: _Mark, current: Sequence[StoredItem]) -> list[Action]:
            changed = _stamp(Cause.UNDO, name)
            actions: list[Action] = []
            short, removed = 0, False
            for (store, article, count), had, stored in zip(item["rows"], item["before"], current, strict=True):
                if had == count or stored.item is None:
                    continue
                key, when = {"store": store, "item": article}, Condition(version=stored.version)
                left = stored.item["count"] - (count - (had or 0))
                if had is None and left == 0:
                    actions.append(Delete(STOCK.name, key, when))
                    removed = True
                else:
                    short += left < 0
                    actions.append(Update(STOCK.name, key, set={"count": max(left, 0), **changed}, when=when))
            if removed:
                actions.append(catalogue_changed())
            return [mark({"undone": short}), *actions]

        item = await self._once(portion, "undone", plan)
        return _Tally(len(item["rows"]), short=item["undone"])

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


def _stamp(cause: Cause, reference: str) -> dict[str, str]:
    return {"cause": cause.value, "reference": reference, "changed": iso_time(time.time_ns() // 1000)}


def _mark(portion: StoredItem, members: _Item) -> Update:
    item = portion.item
    assert item is not None
    key = {"import": item["import"], "number": item["number"]}
    return Update(IMPORT_ROWS.name, key, set=members, when=Condition(version=portion.version))
