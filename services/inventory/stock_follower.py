"""Derives movements, alerts and the sums of each store from the change feed.

Writing movements inside each stock transaction would double its size and miss changes by other clients. Their keys are
computed from the change, so that writing them again is idempotent. Alerts and sums of the tenant `main` are stored in
one transaction with the position in the feed, those of each other tenant in one with its progress
(`services.inventory.tenant_progress`). The feed of all tenants is read once.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import advance_catalogue
from clients.inventory.request_errors import UNCERTAIN, is_conflict
from clients.persistence import ChangePage, PersistenceClient, StoredChange
from services.inventory.server_retry import PERMANENT_ERRORS, ServerRetry
from services.inventory.tenant_progress import ProgressRecords, TenantProgress
from services.inventory.tenants import view_of
from shared.domain.names import fold_names
from shared.domain.records import Action, Condition, Put, Update
from shared.domain.stock import AlertState, Cause, StockThresholds, count_of, ledger_of
from shared.domain.tables import ALERTS, IMPORTS, INVENTORY, MOVEMENTS, STOCK, STORES
from shared.domain.tenants import MAIN, is_tenant_name

_POSITION = {"name": "changes"}
_POLL_SECONDS = 0.1
# During a long catch-up, half of the time is left to other clients.
_PAUSE_RATIO = 1.0
_PAGE_CHANGES = 500
# Few enough that an alert and a store for each change fit into one transaction.
_SMALL_PAGE_CHANGES = 45
_ACTIONS = 100
_MOVEMENTS_AT_ONCE = 100
_TENANTS_AT_ONCE = 50
# An unchanged position is stored from time to time, so that it does not expire from the feed.
_POSITION_SECONDS = 30.0


class CountChange(NamedTuple):
    """A change of a count; None stands for a missing item."""

    store: str
    item: str
    before: int | None
    after: int | None

    @property
    def compared_names(self) -> tuple[str, str]:
        """Folded names of store and item: an item that was recreated may have another spelling."""
        return fold_names(self.store), fold_names(self.item)


class _TenantPage(NamedTuple):
    """A page's changes of a tenant's stock that were not processed before, and the actions derived from them."""

    changes: Sequence[StoredChange]
    actions: Sequence[Action]


class StockFollower:
    """Keeps movements, alerts and sums of all tenants up to date until cancelled.

    `on_import` is called with the tenant after a change of an import, `on_alert` with the tenant after a change of an
    alert, and `on_loss` if the derived data has to be counted again. With `publish_alerts`, new alerts are marked as
    unpublished.
    """

    def __init__(
        self,
        client: PersistenceClient,
        levels: StockThresholds,
        *,
        on_import: Callable[[str], None],
        on_alert: Callable[[str], None],
        on_loss: Callable[[], None],
        publish_alerts: bool,
    ) -> None:
        self._client = client
        self._levels = levels
        self._on_import = on_import
        self._on_alert = on_alert
        self._on_loss = on_loss
        self._publish_alerts = publish_alerts
        self._stored: str | None = None
        """The stored position."""
        self._position: str | None = None
        self._stored_at = 0.0
        self._progress = ProgressRecords()
        self._failed: set[str] = set()
        """Tenants whose last changes could not be processed."""
        self._server_retry = ServerRetry("movements")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Processes pages of the change feed as they come."""
        await self._server_retry.retry_until_answered(self._load_position)
        while True:
            began = time.monotonic()
            try:
                busy = await self.process_page()
            except ClientError as error:
                await self._server_retry.wait_after_error(error)
                await self._server_retry.retry_until_answered(self._load_position)
                continue
            await asyncio.sleep((time.monotonic() - began) * _PAUSE_RATIO if busy else _POLL_SECONDS)

    async def _load_position(self) -> None:
        self._progress.forget()
        stored = await self._client.get_item(INVENTORY.name, _POSITION)
        if stored.item is None:
            self._position = self._stored = None
            return
        self._position = self._stored = stored.item["position"]
        # After a change of the threshold, low items have to be counted again.
        if stored.item.get("low", self._levels.low) != self._levels.low:
            self._on_loss()

    async def process_page(self) -> bool:
        """Processes a page of changes. Returns whether there may be more. Raises ClientError."""
        try:
            page, found = await self._read_page()
        except Refused as refusal:
            if refusal.error not in ("gone", "invalid_params"):
                raise
            # The feed is read from its beginning; the stock check finds the changes that are lost.
            self._log.warning("stock_changes_missed", reason=refusal.message)
            self._position = None
            self._on_loss()
            return True
        others = [tenant for tenant in found if tenant != MAIN]
        for start in range(0, len(others), _TENANTS_AT_ONCE):
            some = others[start : start + _TENANTS_AT_ONCE]
            committed = await asyncio.gather(*(self._process_tenant(tenant, found[tenant]) for tenant in some))
            if not all(committed):
                await self._load_position()
                return True
        main = found.get(MAIN, _TenantPage([], []))
        await _store_movements(self._client, _movement_puts(main.changes))
        due = any(one.actions for one in found.values()) or time.monotonic() > self._stored_at + _POSITION_SECONDS
        if due and not await self._commit_page(page.position, main.actions):
            await self._load_position()
            return True
        self._position = page.position
        for tenant in {change.tenant for change in page.changes if change.table == IMPORTS.name}:
            if is_tenant_name(tenant):
                self._on_import(tenant)
        for tenant, one in found.items():
            if any(action.table == ALERTS.name for action in one.actions):
                self._on_alert(tenant)
        return len(page.changes) >= _SMALL_PAGE_CHANGES

    async def _read_page(self) -> tuple[ChangePage, Mapping[str, _TenantPage]]:
        """Returns the next changes, and those of each tenant's stock with the actions derived from them.

        The actions of each tenant fit into one transaction.
        """
        limit = _PAGE_CHANGES
        while True:
            page = await self._client.changes(self._position, tenant=None, limit=limit)
            places: dict[str, list[int]] = {}
            for place, change in enumerate(page.changes):
                # Other programs may have written items of tenants that cannot exist.
                if change.table == STOCK.name and is_tenant_name(change.tenant):
                    places.setdefault(change.tenant, []).append(place)
            found: dict[str, _TenantPage] = {}
            limit = len(page.changes)
            tenants = list(places)
            for start in range(0, len(tenants), _TENANTS_AT_ONCE):
                some = tenants[start : start + _TENANTS_AT_ONCE]
                plans = await asyncio.gather(*(self._plan_tenant(one, page, places[one]) for one in some))
                for tenant, (planned, covered) in zip(some, plans, strict=True):
                    found[tenant] = planned
                    limit = min(limit, covered)
            if limit == len(page.changes) and all(len(one.actions) < _ACTIONS for one in found.values()):
                return page, found
            limit = min(limit, _SMALL_PAGE_CHANGES)

    async def _plan_tenant(self, tenant: str, page: ChangePage, places: Sequence[int]) -> tuple[_TenantPage, int]:
        """Returns a tenant's part of a page, and the number of the page's changes that it covers."""
        records = view_of(self._client, tenant)
        if tenant != MAIN:
            progress = await self._progress.load_progress(records, tenant)
            places = [place for place in places if progress.is_new(page.changes[place])]
        changes = [page.changes[place] for place in places]
        crossings, covered = await self._find_crossings(records, changes)
        actions = [*crossings, *self._sum_changes(changes)]
        return _TenantPage(changes, actions), places[covered] if covered < len(places) else len(page.changes)

    async def _process_tenant(self, tenant: str, page: _TenantPage) -> bool:
        """Stores what is derived from the changes of a tenant other than `main`, exactly once.

        Returns False if that is uncertain: the page has to be read again.
        """
        records = view_of(self._client, tenant)
        try:
            puts = _movement_puts(page.changes)
            if not page.actions or len(puts) + len(page.actions) >= _ACTIONS:
                await _store_movements(records, puts)
                puts = []
            if not page.actions:
                return True
            since = self._stored or ""
            update, ranks = (await self._progress.load_progress(records, tenant)).build_update(since, page.changes)
            stored = await records.transact([update, *page.actions, *puts])
        except Refused as refusal:
            if is_conflict(refusal):
                return False
            if refusal.error not in PERMANENT_ERRORS:
                raise
            # The invalid records of one tenant must not hold up the others.
            if tenant not in self._failed:
                self._failed.add(tenant)
                self._log.error("tenant_stock_skipped", tenant=tenant, reason=refusal.message)
            return True
        except UNCERTAIN:
            return False
        self._progress.remember(tenant, TenantProgress(since, ranks, stored[0].version))
        self._failed.discard(tenant)
        return True

    async def _commit_page(self, position: str, actions: Sequence[Action]) -> bool:
        """Stores actions together with the position behind their changes, exactly once.

        Returns False if that is uncertain, or if a record has changed meanwhile: the page has to be read again.
        """
        self._stored_at = time.monotonic()
        if position == self._stored and not actions:
            return True
        when = Condition(exists=False) if self._stored is None else Condition(equal={"position": self._stored})
        moved = Update(INVENTORY.name, _POSITION, set={"position": position, "low": self._levels.low}, when=when)
        try:
            await self._client.transact([moved, *actions])
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            return False
        except UNCERTAIN:
            return False
        self._stored = position
        return True

    # Derived actions.

    def _sum_changes(self, changes: Iterable[StoredChange]) -> list[Action]:
        """Returns the updates of the stores' sums, and of the catalogue if a client has changed the items itself."""
        sums: dict[str, Counter[str]] = {}
        spelled: dict[str, str] = {}
        comes_or_goes = False
        for change in changes:
            count = _count_change(change)
            # Items may have different spellings of their store.
            spelled.setdefault(key := fold_names(count.store), count.store)
            added = sums.setdefault(key, Counter())
            for sign, number in ((-1, count.before), (1, count.after)):
                if number is not None:
                    added["items"] += sign
                    added["units"] += sign * number
                    added["low"] += sign * self._levels.is_low(number)
            comes_or_goes = comes_or_goes or (None in (count.before, count.after) and _is_unexplained(change))
        updates: list[Action] = []
        for key, added in sums.items():
            if by := {name: number for name, number in added.items() if number}:
                updates.append(Update(STORES.name, {"store": spelled[key]}, add=by))
        return [*updates, advance_catalogue()] if comes_or_goes else updates

    async def _find_crossings(
        self, records: PersistenceClient, changes: Sequence[StoredChange]
    ) -> tuple[list[Action], int]:
        """Returns the alerts that open or close, and the number of changes that they cover.

        An item that crosses its threshold twice has two alerts to publish, so the second one is left to the next page.
        """
        near = [place for place, change in enumerate(changes) if self._is_near(_count_change(change))]
        if not near:
            return [], len(changes)
        keys = list({_count_change(changes[place]).compared_names: None for place in near})
        found = await records.get_items(ALERTS.name, [{"store": store, "item": item} for store, item in keys])
        alerts = dict(zip(keys, found, strict=True))
        planned: dict[tuple[str, str], Put] = {}
        for place in near:
            count, at = _count_change(changes[place]), changes[place].at
            key = count.compared_names
            before = planned[key].item if key in planned else alerts[key].item
            alert = next_alert(before, count, self._levels, at)
            if alert is None:
                continue
            if key in planned:
                return list(planned.values()), place
            if self._publish_alerts and alert["state"] == AlertState.OPEN:
                alert["untold"] = at
            planned[key] = Put(ALERTS.name, alert, Condition(version=alerts[key].version))
        return list(planned.values()), len(changes)

    def _is_near(self, count: CountChange) -> bool:
        """Whether an alert may open or close with this change."""
        numbers = [number for number in (count.before, count.after) if number is not None]
        return any(not self._levels.is_enough(number) for number in numbers)


def next_alert(
    alert: dict[str, Any] | None, count: CountChange, levels: StockThresholds, at: str
) -> dict[str, Any] | None:
    """Returns an item's alert after a change of its count; None if it is unchanged."""
    active = alert is not None and alert["state"] != AlertState.CLOSED
    if active and (count.after is None or levels.is_enough(count.after)):
        assert alert is not None
        return {**alert, "state": AlertState.CLOSED.value, "closed": at}
    if active or count.after is None or not levels.is_low(count.after):
        return None
    return {
        "store": count.store,
        "item": count.item,
        "count": count.after,
        "threshold": levels.low,
        "state": AlertState.OPEN.value,
        "number": 1 if alert is None else alert["number"] + 1,
        "since": at,
    }


def build_movement(change: StoredChange) -> dict[str, Any] | None:
    """Returns the movement of a change, with a key that is computed from the change; None if the count is unchanged."""
    count = _count_change(change)
    if count.before == count.after:
        return None
    by = (count.after or 0) - (count.before or 0)
    movement: dict[str, Any] = {"ledger": ledger_of(count.store, count.item), "at": change.at, "change": by}
    last = change.new or change.old
    assert last is not None
    entry = f"{change.at}#{last.version:012d}"
    if count.after is None:
        movement |= {"entry": f"{entry}~", "count": 0, "version": last.version}
        return {**movement, "cause": Cause.REMOVAL.value}
    details: dict[str, Any] = {"cause": Cause.EDIT.value}
    if not _is_unexplained(change) and last.item is not None:
        details = {name: last.item[name] for name in ("cause", "reference", "orders") if name in last.item}
    return {**movement, "entry": entry, "count": count.after, "version": last.version, **details}


def _movement_puts(changes: Iterable[StoredChange]) -> list[Put]:
    return [Put(MOVEMENTS.name, movement) for movement in map(build_movement, changes) if movement is not None]


async def _store_movements(records: PersistenceClient, puts: Sequence[Put]) -> None:
    chunks = [puts[start : start + _MOVEMENTS_AT_ONCE] for start in range(0, len(puts), _MOVEMENTS_AT_ONCE)]
    for results in await asyncio.gather(*(records.batch(chunk, safe=True) for chunk in chunks)):
        for result in results:
            if isinstance(result, Refused):
                raise result


def _count_change(change: StoredChange) -> CountChange:
    """Returns a change as counts; records without a valid count are missing items."""
    old, new = (None if one is None else one.item for one in (change.old, change.new))
    named = new or old
    assert named is not None
    return CountChange(named["store"], named["item"], count_of(old), count_of(new))


def _is_unexplained(change: StoredChange) -> bool:
    """Whether the change has no cause of its own: a client has kept the cause of the change before."""
    said = [None if one is None or one.item is None else one.item.get("changed") for one in (change.old, change.new)]
    return said[1] is None or said[0] == said[1]
