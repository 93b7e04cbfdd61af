"""Proves that every count is the sum of its movements, and every store's sums those of its items; once a day.

What is not is told and mended by a movement that says so: the count stands, since it is what everybody has seen.
"""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.records import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.patience import Patience
from shared.domain.names import fold_names
from shared.domain.orders import iso_time
from shared.domain.records import Condition, Put
from shared.domain.stock import Cause, Levels, count_of, ledger_of
from shared.domain.tables import INVENTORY, MOVEMENTS, STOCK, STORES

CHECK = {"name": "check"}
"""The key in `INVENTORY` of what the last check has found."""
_EVERY = timedelta(days=1)
_LOOK_SECONDS = 60.0
# Of its time, how much it leaves to others.
_SPARE = 1.0
_PAGE = 200
# Movements follow counts by moments: so often an item is looked at again before it is called wrong.
_LOOKS = 20
_LOOK_AGAIN_SECONDS = 0.25
_ALERTED = 20


class Finding(NamedTuple):
    """An item whose movements do not make its count."""

    store: str
    item: str
    has: int
    movements: int
    """Their sum."""


class Checker:
    """Checks when the last check is a day old, and when it is told to by `wake`. Until cancelled."""

    def __init__(self, client: PersistenceClient, levels: Levels) -> None:
        self._client = client
        self._levels = levels
        self._woken = asyncio.Event()
        self._patience = Patience("check")
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """Changes were lost, or mean something else than they did."""
        self._woken.set()

    async def run(self) -> None:
        """Looks once a minute whether it is time."""
        while True:
            try:
                if self._woken.is_set() or await self._is_due():
                    self._woken.clear()
                    await self.check()
                self._patience.answered()
            except ClientError as error:
                self._woken.set()
                await self._patience.wait(error)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()

    async def _is_due(self) -> bool:
        stored = await self._client.get_item(INVENTORY.name, CHECK)
        if stored.item is None:
            return True
        return datetime.now(UTC) - datetime.fromisoformat(stored.item["at"]) > _EVERY

    async def check(self) -> list[Finding]:
        """Looks at every item, mends what is wrong, and stores what was found. Raises ClientError."""
        began = time.monotonic()
        items = 0
        found: list[Finding] = []
        # As they were before anything is counted: those that change meanwhile are left to the next check.
        stores = await self._stores()
        sums: dict[str, dict[str, int]] = {}
        cursor: str | None = None
        while True:
            worked = time.monotonic()
            page = await self._client.query(STOCK.name, "all", page_size=_PAGE, cursor=cursor)
            for stored in page.items:
                finding = await self._look(stored, sums)
                items += 1
                if finding is not None:
                    found.append(finding)
            await asyncio.sleep((time.monotonic() - worked) * _SPARE)
            cursor = page.cursor
            if cursor is None:
                break
        for finding in found:
            self._log.error("movements do not make the count; mended", **finding._asdict())
        mended = 0
        for store in stores.keys() | sums.keys():
            mended += await self._mend_sums(store, stores.get(store, StoredItem(None, 0)), sums.get(store, {}))
        wrong = [finding._asdict() for finding in found[:_ALERTED]]
        told = {**CHECK, "at": _now(), "items": items, "wrong": len(found), "examples": wrong, "stores": mended}
        await self._client.put_item(INVENTORY.name, told)
        self._log.info("stock checked", items=items, wrong=len(found), seconds=round(time.monotonic() - began, 1))
        return found

    async def _look(self, stored: StoredItem, sums: dict[str, dict[str, int]]) -> Finding | None:
        """Whether the movements of an item make its count; if not, one that says so is added."""
        assert stored.item is not None
        store, item = stored.item["store"], stored.item["item"]
        key = {"store": store, "item": item}
        count = total = version = 0
        for _ in range(_LOOKS):
            total = await self._sum(ledger_of(store, item))
            again = await self._client.get_item(STOCK.name, key)
            found = count_of(again.item)
            if found is None:
                return None
            count, version = found, again.version
            if count == total:
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        of_store = sums.setdefault(fold_names(store), {"items": 0, "units": 0, "low": 0})
        of_store["items"] += 1
        of_store["units"] += count
        of_store["low"] += self._levels.is_low(count)
        if count == total:
            return None
        now = _now()
        movement = {
            "ledger": ledger_of(store, item),
            "entry": f"{now}#{version:012d}",
            "at": now,
            "change": count - total,
            "count": count,
            "version": version,
            "cause": Cause.CORRECTION.value,
        }
        await self._client.put_item(MOVEMENTS.name, movement)
        return Finding(store, item, count, total)

    async def _sum(self, ledger: str) -> int:
        total: int = 0
        cursor: str | None = None
        while True:
            page = await self._client.query(MOVEMENTS.name, partition=ledger, page_size=1000, cursor=cursor)
            total += sum(stored.item["change"] for stored in page.items if stored.item is not None)
            cursor = page.cursor
            if cursor is None:
                return total

    async def _stores(self) -> dict[str, StoredItem]:
        """The sums of each store as they are stored, by its name in the form in which names are compared."""
        found: dict[str, StoredItem] = {}
        cursor: str | None = None
        while True:
            page = await self._client.query(STORES.name, "all", page_size=_PAGE, cursor=cursor)
            found |= {fold_names(stored.item["store"]): stored for stored in page.items if stored.item is not None}
            cursor = page.cursor
            if cursor is None:
                return found

    async def _mend_sums(self, store: str, stored: StoredItem, counted: dict[str, int]) -> bool:
        """Sets a store's sums to what was counted, where they are as they were before; whether they were wrong."""
        item = stored.item or {}
        if all(item.get(name, 0) == counted.get(name, 0) for name in ("items", "units", "low")):
            return False
        sums = {"store": item.get("store", store), "items": 0, "units": 0, "low": 0, **counted}
        try:
            await self._client.transact([Put(STORES.name, sums, Condition(version=stored.version))])
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            # Something was sold since: the next check will tell.
            return False
        self._log.warning("the sums of a store were wrong; mended", store=store, were=item, are=sums)
        return True


def _now() -> str:
    return iso_time(time.time_ns() // 1000)
