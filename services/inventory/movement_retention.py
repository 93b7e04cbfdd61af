"""Bounds how many movements are kept: those of an item that are old become one, which carries their sum.

A check proves every day that the movements of an item make its count, so their sum must not change. Old movements are
therefore not simply deleted: in one transaction up to 99 are deleted and the next one takes their changes over.

    before  +20 import   -3 order   -2 edit   | recent ones
    after                           +15 carried | recent ones
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.patience import Patience
from shared.domain.orders import iso_time
from shared.domain.records import MAX_ACTIONS, Action, Condition, Delete, Put
from shared.domain.stock import Cause, ledger_of
from shared.domain.tables import MOVEMENTS, STOCK

_EVERY_SECONDS = 86_400.0
_FIRST_SECONDS = 600.0
_ITEMS = 200
# Of its time, how much it leaves to others.
_SPARE = 4.0
_KEPT = ("ledger", "entry", "at", "count", "version")


class MovementRetention:
    """Folds movements that are older than `keep_days`, once a day. Until cancelled."""

    def __init__(self, client: PersistenceClient, *, keep_days: float) -> None:
        self._client = client
        self._keep_seconds = keep_days * 86_400
        self._patience = Patience("movement retention")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works once a day. Servers that are away are waited for."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                removed = await self.fold()
            except ClientError as error:
                await self._patience.wait(error)
                continue
            self._patience.answered()
            self._log.info("movements_removed", movements=removed)
            await asyncio.sleep(_EVERY_SECONDS)

    async def fold(self) -> int:
        """Folds the movements of every stocked item; returns how many are gone. Raises ClientError."""
        before = iso_time(round((time.time() - self._keep_seconds) * 1e6))
        removed = 0
        cursor: str | None = None
        while True:
            page = await self._client.query(STOCK.name, "all", page_size=_ITEMS, cursor=cursor)
            for stored in page.items:
                assert stored.item is not None
                removed += await self._fold_ledger(ledger_of(stored.item["store"], stored.item["item"]), before)
            cursor = page.cursor
            if cursor is None:
                return removed

    async def _fold_ledger(self, ledger: str, before: str) -> int:
        removed = 0
        while True:
            began = time.monotonic()
            page = await self._client.query(MOVEMENTS.name, partition=ledger, page_size=MAX_ACTIONS)
            old = [one for one in page.items if one.item is not None and one.item["at"] < before]
            if len(old) < 2:
                return removed
            try:
                await self._client.transact(_folding(old))
            except Refused as refusal:
                if refusal.error != "conflict":
                    raise
                # Somebody else was there: the next day is soon enough.
                return removed
            removed += len(old) - 1
            await asyncio.sleep((time.monotonic() - began) * _SPARE)


def _folding(movements: Sequence[StoredItem]) -> list[Action]:
    """Makes one movement of several, which come oldest first."""
    actions: list[Action] = []
    total = 0
    for one in movements:
        assert one.item is not None
        total += one.item["change"]
        key = {name: one.item[name] for name in ("ledger", "entry")}
        actions.append(Delete(MOVEMENTS.name, key, Condition(version=one.version)))
    last = movements[-1]
    assert last.item is not None
    carried = {name: last.item[name] for name in _KEPT if name in last.item}
    carried |= {"change": total, "cause": Cause.CARRIED.value}
    actions[-1] = Put(MOVEMENTS.name, carried, Condition(version=last.version))
    return actions
