"""Checks once a day that each count is the sum of its movements, and the sums of each store those of its items.

All tenants are checked, one after the other.

A difference is logged and corrected by a movement. The count stays as it is, since clients have seen it.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.server_retry import PERMANENT_ERRORS, ServerRetry
from services.inventory.tenants import list_tenant_names, view_of
from shared.domain.names import fold_names
from shared.domain.records import Condition, Put
from shared.domain.stock import Cause, StockThresholds, count_of, ledger_of
from shared.domain.tables import INVENTORY, MOVEMENTS, STOCK, STORES
from shared.domain.tenants import MAIN
from shared.runtime.clock import iso_now
from shared.runtime.waiting import wait_for_event

CHECK_KEY = {"name": "check"}
"""The key in `INVENTORY` of the last check's result."""
_INTERVAL = timedelta(days=1)
_POLL_SECONDS = 60.0
# Pause after each page, as a multiple of the time that the page took.
_PAUSE_RATIO = 1.0
_PAGE = 200
# Movements follow their counts with a short delay: an item is read that often before it counts as wrong.
_READS = 20
_EXAMPLES = 20


class CountMismatch(NamedTuple):
    """An item whose count is not the sum of its movements."""

    store: str
    item: str
    has: int
    movements: int
    """The sum of the movements."""


class StockChecker:
    """Checks the stock when the last check is a day old, or after `wake`, until cancelled.

    An item that disagrees with its movements is read again every `read_again_seconds` before it counts as wrong.
    """

    def __init__(self, client: PersistenceClient, levels: StockThresholds, *, read_again_seconds: float = 0.25) -> None:
        self._client = client
        self._levels = levels
        self._read_again_seconds = read_again_seconds
        self._woken = asyncio.Event()
        self._server_retry = ServerRetry("check")
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """Requests a check: changes were lost, or the threshold of low stock has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Checks the stock whenever a check is due; looks once a minute."""
        while True:
            try:
                if self._woken.is_set() or await self._is_due():
                    self._woken.clear()
                    # The result of `main` comes last: it tells when all tenants were checked.
                    for tenant in await list_tenant_names(self._client):
                        await self._check_tenant(tenant)
                self._server_retry.record_answer()
            except ClientError as error:
                self._woken.set()
                await self._server_retry.wait_after_error(error)
                continue
            await wait_for_event(self._woken, _POLL_SECONDS)

    async def _is_due(self) -> bool:
        stored = await self._client.get_item(INVENTORY.name, CHECK_KEY)
        if stored.item is None:
            return True
        return datetime.now(UTC) - datetime.fromisoformat(stored.item["at"]) > _INTERVAL

    async def _check_tenant(self, tenant: str) -> None:
        try:
            await self.check_stock(tenant)
        except Refused as refusal:
            if tenant == MAIN or refusal.error not in PERMANENT_ERRORS:
                raise
            # The invalid records of one tenant must not hold up the others.
            self._log.error("tenant_check_failed", tenant=tenant, reason=refusal.message)

    async def check_stock(self, tenant: str = MAIN) -> list[CountMismatch]:
        """Checks all items and stores of a tenant, corrects differences, and stores the result. Raises ClientError."""
        records = view_of(self._client, tenant)
        began = time.monotonic()
        items = 0
        found: list[CountMismatch] = []
        # Read before the items are counted: sums that change meanwhile are left to the next check.
        stores = await _load_store_sums(records)
        sums: dict[str, dict[str, int]] = {}
        cursor: str | None = None
        while True:
            worked = time.monotonic()
            page = await records.query(STOCK.name, "all", page_size=_PAGE, cursor=cursor)
            for stored in page.items:
                mismatch = await self._check_item(records, stored, sums)
                items += 1
                if mismatch is not None:
                    found.append(mismatch)
            await asyncio.sleep((time.monotonic() - worked) * _PAUSE_RATIO)
            cursor = page.cursor
            if cursor is None:
                break
        for mismatch in found:
            self._log.error("count_mismatch_corrected", tenant=tenant, **mismatch._asdict())
        corrected = 0
        for store in stores.keys() | sums.keys():
            stored_sums = stores.get(store, StoredItem(None, 0))
            corrected += await self._correct_sums(records, tenant, store, stored_sums, sums.get(store, {}))
        if tenant != MAIN and not (items or stores):
            return []
        wrong = [mismatch._asdict() for mismatch in found[:_EXAMPLES]]
        report = {
            **CHECK_KEY,
            "at": iso_now(),
            "items": items,
            "wrong": len(found),
            "examples": wrong,
            "stores": corrected,
        }
        await records.put_item(INVENTORY.name, report)
        self._log.info(
            "stock_checked", tenant=tenant, items=items, wrong=len(found), seconds=round(time.monotonic() - began, 1)
        )
        return found

    async def _check_item(
        self, records: PersistenceClient, stored: StoredItem, sums: dict[str, dict[str, int]]
    ) -> CountMismatch | None:
        """Compares an item's count with its movements. Corrects and returns a mismatch; None if they agree."""
        assert stored.item is not None
        store, item = stored.item["store"], stored.item["item"]
        key = {"store": store, "item": item}
        count = total = version = 0
        for _ in range(_READS):
            total = await _sum_movements(records, ledger_of(store, item))
            again = await records.get_item(STOCK.name, key)
            found = count_of(again.item)
            if found is None:
                return None
            count, version = found, again.version
            if count == total:
                break
            await asyncio.sleep(self._read_again_seconds)
        of_store = sums.setdefault(fold_names(store), {"items": 0, "units": 0, "low": 0})
        of_store["items"] += 1
        of_store["units"] += count
        of_store["low"] += self._levels.is_low(count)
        if count == total:
            return None
        now = iso_now()
        movement = {
            "ledger": ledger_of(store, item),
            "entry": f"{now}#{version:012d}",
            "at": now,
            "change": count - total,
            "count": count,
            "version": version,
            "cause": Cause.CORRECTION.value,
        }
        await records.put_item(MOVEMENTS.name, movement)
        return CountMismatch(store, item, count, total)

    async def _correct_sums(
        self, records: PersistenceClient, tenant: str, store: str, stored: StoredItem, counted: dict[str, int]
    ) -> bool:
        """Replaces a store's sums if they differ from the counted ones and are unchanged. Returns whether it did."""
        item = stored.item or {}
        if all(item.get(name, 0) == counted.get(name, 0) for name in ("items", "units", "low")):
            return False
        sums = {"store": item.get("store", store), "items": 0, "units": 0, "low": 0, **counted}
        try:
            await records.transact([Put(STORES.name, sums, Condition(version=stored.version))])
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            # The stock has changed since; the next check compares again.
            return False
        self._log.warning("store_sums_corrected", tenant=tenant, store=store, were=item, are=sums)
        return True


async def _sum_movements(records: PersistenceClient, ledger: str) -> int:
    total: int = 0
    async for page in records.iterate_pages(MOVEMENTS.name, partition=ledger, page_size=1000):
        total += sum(stored.item["change"] for stored in page.items if stored.item is not None)
    return total


async def _load_store_sums(records: PersistenceClient) -> dict[str, StoredItem]:
    """Returns the stored sums of each store by its folded name."""
    found: dict[str, StoredItem] = {}
    async for page in records.iterate_pages(STORES.name, "all", page_size=_PAGE):
        found |= {fold_names(stored.item["store"]): stored for stored in page.items if stored.item is not None}
    return found
