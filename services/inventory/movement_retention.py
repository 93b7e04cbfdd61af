"""Limits the movements of each item: old ones are folded into one, which carries their sum.

The daily check expects that the movements of an item add up to its count, so old movements cannot simply be deleted.
One transaction deletes up to 99 of them and adds their changes to the next one.

    before  +20 import   -3 order   -2 edit   | recent ones
    after                           +15 carried | recent ones
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.server_retry import ServerRetry
from services.inventory.tenants import list_tenant_names, view_of
from shared.domain.orders import iso_time
from shared.domain.records import MAX_ACTIONS, Action, Condition, Delete, Put
from shared.domain.stock import Cause, ledger_of
from shared.domain.tables import MOVEMENTS, STOCK
from shared.domain.tenants import MAIN

_INTERVAL_SECONDS = 86_400.0
_INITIAL_DELAY_SECONDS = 600.0
_ITEMS = 200
# Pause after each transaction, as a multiple of the time that it took.
_PAUSE_RATIO = 4.0
_KEPT_FIELDS = ("ledger", "entry", "at", "count", "version")


class MovementRetention:
    """Folds movements that are older than `keep_days`, once a day, until cancelled."""

    def __init__(self, client: PersistenceClient, *, keep_days: float) -> None:
        self._client = client
        self._keep_seconds = keep_days * 86_400
        self._server_retry = ServerRetry("movement retention")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works once a day. Waits for servers that are unavailable."""
        await asyncio.sleep(_INITIAL_DELAY_SECONDS)
        while True:
            try:
                removed = 0
                for tenant in await list_tenant_names(self._client):
                    removed += await self.fold_movements(tenant)
            except ClientError as error:
                await self._server_retry.wait_after_error(error)
                continue
            self._server_retry.record_answer()
            self._log.info("movements_removed", movements=removed)
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def fold_movements(self, tenant: str = MAIN) -> int:
        """Folds the movements of all items of a tenant. Returns the number of deleted movements. Raises ClientError."""
        records = view_of(self._client, tenant)
        before = iso_time(round((time.time() - self._keep_seconds) * 1e6))
        removed = 0
        async for page in records.iterate_pages(STOCK.name, "all", page_size=_ITEMS):
            for stored in page.items:
                assert stored.item is not None
                removed += await _fold_ledger(records, ledger_of(stored.item["store"], stored.item["item"]), before)
        return removed


async def _fold_ledger(records: PersistenceClient, ledger: str, before: str) -> int:
    removed = 0
    while True:
        began = time.monotonic()
        page = await records.query(MOVEMENTS.name, partition=ledger, page_size=MAX_ACTIONS)
        old = [one for one in page.items if one.item is not None and one.item["at"] < before]
        if len(old) < 2:
            return removed
        try:
            await records.transact(_build_fold(old))
        except Refused as refusal:
            if refusal.error != "conflict":
                raise
            # Another service was faster. The rest is left to the next day.
            return removed
        removed += len(old) - 1
        await asyncio.sleep((time.monotonic() - began) * _PAUSE_RATIO)


def _build_fold(movements: Sequence[StoredItem]) -> list[Action]:
    """Returns the actions that fold movements, oldest first, into the last one."""
    actions: list[Action] = []
    total = 0
    for one in movements:
        assert one.item is not None
        total += one.item["change"]
        key = {name: one.item[name] for name in ("ledger", "entry")}
        actions.append(Delete(MOVEMENTS.name, key, Condition(version=one.version)))
    last = movements[-1]
    assert last.item is not None
    carried = {name: last.item[name] for name in _KEPT_FIELDS if name in last.item}
    carried |= {"change": total, "cause": Cause.CARRIED.value}
    actions[-1] = Put(MOVEMENTS.name, carried, Condition(version=last.version))
    return actions
