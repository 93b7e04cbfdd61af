"""Follows every change of stock, whoever made it: movements, alerts, and the sums of each store are made of it.

Changes come from the feed of the persistence server. Movements have keys that follow from the change, so writing one
again does no harm; alerts and sums are written together with the position behind the changes that they are made of.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import catalogue_changed
from clients.inventory.records import UNCERTAIN, is_conflict
from clients.persistence import ChangePage, PersistenceClient, StoredChange
from services.inventory.patience import Patience
from shared.domain.names import fold_names
from shared.domain.records import Action, Condition, Put, Update
from shared.domain.stock import AlertState, Cause, Levels, count_of, ledger_of
from shared.domain.tables import ALERTS, IMPORTS, INVENTORY, MOVEMENTS, STOCK, STORES

_POSITION = {"name": "changes"}
_POLL_SECONDS = 0.1
# When there is much to catch up with, half of the time has to do: the rest is for those who make it.
_SPARE = 1.0
_CHANGES = 500
# So few that each may have an alert and a store of its own, and still fit one transaction.
_FEW_CHANGES = 45
_ACTIONS = 100
_MOVEMENTS_AT_ONCE = 100
# A position that nothing is made of is stored now and then, so that it does not become older than the feed.
_POSITION_SECONDS = 30.0


class Count(NamedTuple):
    """One change of a count. None is an item that is not there."""

    store: str
    item: str
    before: int | None
    after: int | None

    @property
    def names(self) -> tuple[str, str]:
        """Store and item in the form in which names are compared: one that was made anew may be spelled otherwise."""
        return fold_names(self.store), fold_names(self.item)


class Follower:
    """Keeps movements, alerts and sums up to date until cancelled.

    `imports` is called when an import has changed, `alerts` when an alert has, which is marked as to be `published`
    where that is said; `lost` when what was made of changes has to be counted anew.
    """

    def __init__(
        self,
        client: PersistenceClient,
        levels: Levels,
        *,
        imports: Callable[[], None],
        alerts: Callable[[], None],
        lost: Callable[[], None],
        published: bool,
    ) -> None:
        self._client = client
        self._levels = levels
        self._imports = imports
        self._alerts = alerts
        self._lost = lost
        self._published = published
        self._stored: str | None = None
        """The position as it is in the store."""
        self._position: str | None = None
        self._stored_at = 0.0
        self._patience = Patience("movements")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Reads whenever there is something to read."""
        await self._patience.ask(self._load)
        while True:
            began = time.monotonic()
            try:
                busy = await self.step()
            except ClientError as error:
                await self._patience.wait(error)
                await self._patience.ask(self._load)
                continue
            await asyncio.sleep((time.monotonic() - began) * _SPARE if busy else _POLL_SECONDS)

    async def _load(self) -> None:
        stored = await self._client.get_item(INVENTORY.name, _POSITION)
        if stored.item is None:
            self._position = self._stored = None
            return
        self._position = self._stored = stored.item["position"]
        # What was low by another measure has to be counted anew.
        if stored.item.get("low", self._levels.low) != self._levels.low:
            self._lost()

    async def step(self) -> bool:
        """Reads a page of changes: whether there may be more. Raises ClientError."""
        try:
            page, actions = await self._read()
        except Refused as refusal:
            if refusal.error not in ("gone", "invalid_params"):
                raise
            # What is kept is read from its beginning; what is not is found by the check.
            self._log.warning("changes of stock were missed", reason=refusal.message)
            self._position = None
            self._lost()
            return True
        await self._tell_movements(_of_stock(page))
        due = actions or time.monotonic() > self._stored_at + _POSITION_SECONDS
        if due and not await self._commit(page.position, actions):
            await self._load()
            return True
        self._position = page.position
        if any(change.table == IMPORTS.name for change in page.changes):
            self._imports()
        if any(action.table == ALERTS.name for action in actions):
            self._alerts()
        return len(page.changes) >= _FEW_CHANGES

    async def _read(self) -> tuple[ChangePage, Sequence[Action]]:
        """A page of changes with what is made of them: as many as fit one transaction."""
        limit = _CHANGES
        while True:
            page = await self._client.changes(self._position, limit=limit)
            crossings, limit = await self._crossings(page)
            actions = [*crossings, *self._sums(page)]
            if limit == len(page.changes) and len(actions) < _ACTIONS:
                return page, actions
            limit = min(limit, _FEW_CHANGES)

    async def _commit(self, position: str, actions: Sequence[Action]) -> bool:
        """Stores what was made of changes together with the position behind them, once.

        Gives False where that is not certain, or something of it has changed meanwhile: it has to be read anew then.
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

    # What is made of changes.

    def _sums(self, page: ChangePage) -> list[Action]:
        """What changes add to the sums of stores; and to the catalogue, where somebody has added an item by hand."""
        sums: dict[str, Counter[str]] = {}
        spelled: dict[str, str] = {}
        comes_or_goes = False
        for change in _of_stock(page):
            count = _count(change)
            # A store may be spelled otherwise in each of its items.
            spelled.setdefault(key := fold_names(count.store), count.store)
            added = sums.setdefault(key, Counter())
            for sign, number in ((-1, count.before), (1, count.after)):
                if number is not None:
                    added["items"] += sign
                    added["units"] += sign * number
                    added["low"] += sign * self._levels.is_low(number)
            comes_or_goes = comes_or_goes or (None in (count.before, count.after) and _is_by_hand(change))
        updates: list[Action] = []
        for key, added in sums.items():
            if by := {name: number for name, number in added.items() if number}:
                updates.append(Update(STORES.name, {"store": spelled[key]}, add=by))
        return [*updates, catalogue_changed()] if comes_or_goes else updates

    async def _crossings(self, page: ChangePage) -> tuple[list[Action], int]:
        """Alerts that begin and alerts that end, and of how many of the changes these are all.

        An item that crosses twice has two alerts, each to be told: the second is for the next page.
        """
        changes = page.changes
        near = [
            place
            for place, change in enumerate(changes)
            if change.table == STOCK.name and self._is_near(_count(change))
        ]
        if not near:
            return [], len(changes)
        keys = list({_count(changes[place]).names: None for place in near})
        found = await self._client.get_items(ALERTS.name, [{"store": store, "item": item} for store, item in keys])
        alerts = dict(zip(keys, found, strict=True))
        planned: dict[tuple[str, str], Put] = {}
        for place in near:
            count, at = _count(changes[place]), changes[place].at
            key = count.names
            before = planned[key].item if key in planned else alerts[key].item
            alert = next_alert(before, count, self._levels, at)
            if alert is None:
                continue
            if key in planned:
                return list(planned.values()), place
            if self._published and alert["state"] == AlertState.OPEN:
                alert["untold"] = at
            planned[key] = Put(ALERTS.name, alert, Condition(version=alerts[key].version))
        return list(planned.values()), len(changes)

    def _is_near(self, count: Count) -> bool:
        """Whether an alert may begin or end with it."""
        numbers = [number for number in (count.before, count.after) if number is not None]
        return any(not self._levels.is_enough(number) for number in numbers)

    # Movements.

    async def _tell_movements(self, changes: Sequence[StoredChange]) -> None:
        puts = [Put(MOVEMENTS.name, movement) for movement in map(movement_of, changes) if movement is not None]
        portions = [puts[start : start + _MOVEMENTS_AT_ONCE] for start in range(0, len(puts), _MOVEMENTS_AT_ONCE)]
        for results in await asyncio.gather(*(self._client.batch(portion, safe=True) for portion in portions)):
            for result in results:
                if isinstance(result, Refused):
                    raise result


def next_alert(alert: dict[str, Any] | None, count: Count, levels: Levels, at: str) -> dict[str, Any] | None:
    """An item's alert after a change of its count; None where it stays as it is."""
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


def movement_of(change: StoredChange) -> dict[str, Any] | None:
    """The movement that a change of stock is; None where the count stays the same. Its key follows from the change."""
    count = _count(change)
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
    told: dict[str, Any] = {"cause": Cause.EDIT.value}
    if not _is_by_hand(change) and last.item is not None:
        told = {name: last.item[name] for name in ("cause", "reference", "orders") if name in last.item}
    return {**movement, "entry": entry, "count": count.after, "version": last.version, **told}


def _of_stock(page: ChangePage) -> list[StoredChange]:
    return [change for change in page.changes if change.table == STOCK.name]


def _count(change: StoredChange) -> Count:
    """What a change does to a count; what is stored without one is not there."""
    old, new = (None if one is None else one.item for one in (change.old, change.new))
    named = new or old
    assert named is not None
    return Count(named["store"], named["item"], count_of(old), count_of(new))


def _is_by_hand(change: StoredChange) -> bool:
    """Whether whoever made the change did not say why: what is said is that of the change before."""
    said = [None if one is None or one.item is None else one.item.get("changed") for one in (change.old, change.new)]
    return said[1] is None or said[0] == said[1]
