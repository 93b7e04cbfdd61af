"""Stored stock: counts by store, their movements, and alerts of low stock."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from clients.errors import Refused
from clients.inventory.catalogue import advance_catalogue
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from shared.domain.errors import Conflict, InvalidParams, NotFound, PreconditionFailed
from shared.domain.records import Action, Condition, Update
from shared.domain.stock import AlertState, Cause, count_of, ledger_of
from shared.domain.tables import ALERTS, MOVEMENTS, STOCK, STORES
from shared.runtime.clock import iso_now
from shared.wire.strict_json import shorten_text

_PAGE = 1000
_ATTEMPTS = 20

OpenStates = Literal["open", "acknowledged"]
"""States of alerts that are not closed."""


class StoredStockPage(NamedTuple):
    """Stored items; `cursor` continues with the next page."""

    items: Sequence[StoredItem]
    cursor: str | None


class Store(Struct, frozen=True):
    """A store with its number of items, the sum of their counts, and its number of low items."""

    store: str
    items: int
    units: int
    low: int


class Movement(Struct, frozen=True):
    """A change of a count and its cause. `reference` names the import, or the first of `orders` orders."""

    at: str
    change: int
    count: int
    cause: Cause
    reference: str | None = None
    orders: int | None = None


class Alert(Struct, frozen=True):
    """An item with low stock: `count` is the current one, `number` counts the item's alerts from 1."""

    store: str
    item: str
    count: int
    threshold: int
    state: AlertState
    number: int
    since: str


async def list_stores(
    records: PersistenceClient, *, limit: int, cursor: str | None
) -> tuple[Sequence[Store], str | None]:
    """Returns a page of stores by name, and the cursor of the next page."""
    page = await records.query(STORES.name, "all", page_size=limit, cursor=cursor)
    found = [stored.item for stored in page.items if stored.item is not None]
    stores = [
        Store(item["store"], item.get("items", 0), item.get("units", 0), item.get("low", 0))
        for item in found
        if item.get("items", 0)
    ]
    return stores, page.cursor


async def list_stock(
    records: PersistenceClient, store: str | None = None, *, limit: int = _PAGE, cursor: str | None = None
) -> StoredStockPage:
    """Returns a page of the items of one store, or of all stores, by name. Raises NotFound for an unknown store.

    Records without a valid count are omitted.
    """
    index = "all" if store is None else None
    page = await records.query(STOCK.name, index, partition=store, page_size=limit, cursor=cursor)
    if store is not None and cursor is None and not page.items:
        raise NotFound(
            f"there is no store {shorten_text(store)}", field="store", hint="GET /stores lists what there is"
        )
    return StoredStockPage([stored for stored in page.items if count_of(stored.item) is not None], page.cursor)


async def get_stock(records: PersistenceClient, store: str, item: str) -> StoredItem:
    """Returns one item. Raises NotFound."""
    stored = await records.get_item(STOCK.name, {"store": store, "item": item})
    if count_of(stored.item) is None:
        raise NotFound(
            f"{shorten_text(store)} has no {shorten_text(item)}", field="item", hint="GET /items lists what there is"
        )
    return stored


async def iterate_stock(
    records: PersistenceClient, store: str | None = None
) -> AsyncGenerator[tuple[str, str, int], None]:
    """Yields store, item and count of all items, or of one store. Raises NotFound for an unknown store."""
    cursor: str | None = None
    while True:
        page = await list_stock(records, store, cursor=cursor)
        for stored in page.items:
            if stored.item is not None and (count := count_of(stored.item)) is not None:
                yield stored.item["store"], stored.item["item"], count
        cursor = page.cursor
        if cursor is None:
            return


async def set_count(
    records: PersistenceClient, store: str, item: str, count: int, *, version: int | None
) -> StoredItem:
    """Sets a count manually; with `version`, only if the item has that version.

    Names are as `shared.csv.reader` reads them. Raises PreconditionFailed for another version.
    """
    key = {"store": store, "item": item}
    for _ in range(_ATTEMPTS):
        found = await records.get_item(STOCK.name, key)
        if version not in (None, found.version):
            raise PreconditionFailed(
                f"the item has version {found.version}",
                field="If-Match",
                hint="read it again and repeat the change",
            )
        change = {"count": count, "cause": Cause.EDIT.value, "reference": None, "changed": iso_now()}
        update = Update(STOCK.name, key, set=change, remove=["orders"], when=Condition(version=found.version))
        actions: list[Action] = [update] if found.item is not None else [update, advance_catalogue()]
        try:
            written = await records.transact(actions=actions)
            return written[0]
        except Refused as refusal:
            # The item has changed since it was read.
            if not is_conflict(refusal):
                raise
    raise Conflict("other clients keep changing the count", hint="try again later")


async def list_movements(
    records: PersistenceClient, store: str, item: str, *, limit: int, cursor: str | None
) -> tuple[Sequence[Movement], str | None]:
    """Returns movements of an item, newest first, and the cursor of the next page."""
    ledger = ledger_of(store, item)
    page = await records.query(MOVEMENTS.name, partition=ledger, descending=True, page_size=limit, cursor=cursor)
    found = [stored.item for stored in page.items if stored.item is not None]
    return [_convert_movement(entry) for entry in found], page.cursor


async def list_alerts(
    records: PersistenceClient, state: OpenStates | None, *, limit: int, cursor: str | None
) -> tuple[Sequence[Alert], str | None]:
    """Returns alerts of a state, newest first, and the cursor.

    Without a state, open alerts precede acknowledged ones.
    """
    at: str = state or "open"
    inner = cursor
    if state is None and cursor is not None:
        at, _, inner = cursor.partition("|")
        if at not in ("open", "acknowledged"):
            raise InvalidParams("the cursor is of another query", field="cursor", hint="leave it out to begin anew")
    page = await records.query(
        ALERTS.name, "by_state", partition=at, descending=True, page_size=limit, cursor=inner or None
    )
    found = [stored.item for stored in page.items if stored.item is not None]
    following = page.cursor
    if state is None:
        if following is not None:
            following = f"{at}|{following}"
        elif at == "open":
            following = "acknowledged|"
            if len(found) < limit:
                more, following = await list_alerts(records, None, limit=limit - len(found), cursor=following)
                return [*await _load_alerts(records, found), *more], following
    return await _load_alerts(records, found), following


async def acknowledge_alert(records: PersistenceClient, store: str, item: str) -> Alert:
    """Acknowledges an alert. Raises NotFound, and Conflict for a closed alert."""
    key = {"store": store, "item": item}
    change = {"state": AlertState.ACKNOWLEDGED.value, "acknowledged": iso_now()}
    when = Condition(equal={"state": AlertState.OPEN.value})
    with contextlib.suppress(Refused):
        await records.update_item(ALERTS.name, key, change, when=when)
    stored = await records.get_item(ALERTS.name, key)
    if stored.item is None:
        raise NotFound(
            f"there is no alert of {shorten_text(item)}", field="item", hint="GET /alerts lists what there is"
        )
    if stored.item["state"] == AlertState.CLOSED:
        raise Conflict("the alert is closed: there is enough stock again", field="item")
    (alert,) = await _load_alerts(records, [stored.item])
    return alert


async def _load_alerts(records: PersistenceClient, found: Sequence[dict[str, Any]]) -> Sequence[Alert]:
    """Returns alerts with the current counts."""
    if not found:
        return []
    keys = [{"store": item["store"], "item": item["item"]} for item in found]
    counts = await records.get_items(STOCK.name, keys)
    return [
        Alert(
            item["store"],
            item["item"],
            count_of(stored.item) or 0,
            item["threshold"],
            AlertState(item["state"]),
            item["number"],
            item["since"],
        )
        for item, stored in zip(found, counts, strict=True)
    ]


def _convert_movement(entry: dict[str, Any]) -> Movement:
    orders = entry.get("orders") if entry["cause"] == Cause.ORDER else None
    return Movement(entry["at"], entry["change"], entry["count"], entry["cause"], entry.get("reference"), orders)
