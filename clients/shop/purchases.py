"""Purchases of a shop: read, listed, completed, and cancelled, which gives their stock back once.

All functions take the client's view of one tenant, `PersistenceClient.of`.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from clients.errors import Refused
from clients.inventory.catalogue import advance_catalogue
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient
from shared.domain.errors import Conflict, ErrorReason, NotFound
from shared.domain.purchases import (
    CancelReason,
    Purchase,
    PurchaseStatus,
    read_purchase,
    user_status,
)
from shared.domain.records import Action, Condition, Update
from shared.domain.stock import Cause
from shared.domain.tables import PURCHASES, STOCK
from shared.runtime.clock import iso_now

_ATTEMPTS: Final = 20
_PAGE: Final = 100
_MAX_ID: Final = 64


async def get_purchase(records: PersistenceClient, user: str, purchase: str) -> Purchase:
    """Returns one purchase of a user. Raises NotFound, with the same text for those of other users."""
    # A longer text cannot be a key.
    if purchase and len(purchase) <= _MAX_ID:
        stored = await records.get_item(PURCHASES.name, _key(user, purchase))
        if stored.item is not None:
            return read_purchase(stored.item)
    raise NotFound(
        "there is no such purchase",
        field="id",
        hint="GET /api/v1/purchases lists yours",
        reason=ErrorReason("purchase_unknown"),
    )


async def list_purchases(
    records: PersistenceClient,
    user: str,
    *,
    status: PurchaseStatus | None = None,
    limit: int,
    skip: int = 0,
    low: str | None = None,
    high: str | None = None,
    descending: bool = True,
) -> Sequence[Purchase]:
    """Returns up to `limit` purchases of a user behind the first `skip`, newest first unless not `descending`.

    With a `status`, those of it. `low` and `high` are inclusive bounds of their ids.
    """
    found: list[Purchase] = []
    cursor: str | None = None
    while len(found) < skip + limit:
        page = await records.query(
            PURCHASES.name,
            None if status is None else "by_status",
            partition=user if status is None else user_status(user, status),
            low=low,
            high=high,
            descending=descending,
            page_size=min(skip + limit - len(found), _PAGE),
            cursor=cursor,
        )
        found += [read_purchase(stored.item) for stored in page.items if stored.item is not None]
        cursor = page.cursor
        if cursor is None:
            break
    return found[skip : skip + limit]


async def iterate_purchases(
    records: PersistenceClient, user: str, status: PurchaseStatus | None = None
) -> AsyncGenerator[Purchase, None]:
    """Yields all purchases of a user, oldest first; with a `status`, those of it."""
    index = None if status is None else "by_status"
    partition = user if status is None else user_status(user, status)
    async for page in records.iterate_pages(PURCHASES.name, index, partition=partition, page_size=_PAGE):
        for stored in page.items:
            if stored.item is not None:
                yield read_purchase(stored.item)


async def iterate_pending(records: PersistenceClient, shard: str) -> AsyncGenerator[Purchase, None]:
    """Yields the pending purchases of one shard (`shared.domain.purchases.shard_of`), oldest first."""
    async for page in records.iterate_pages(PURCHASES.name, "pending", partition=shard, page_size=_PAGE):
        for stored in page.items:
            if stored.item is not None:
                yield read_purchase(stored.item)


async def record_order(records: PersistenceClient, purchase: Purchase, order: str) -> bool:
    """Stores the id of the order that fulfils a purchase. Returns whether it is still pending."""
    members = {"order": order, "ordered_at": iso_now()}
    return await _change_pending(records, purchase, members=members, remove=[]) is not None


async def complete_purchase(records: PersistenceClient, purchase: Purchase) -> bool:
    """Completes a pending purchase. Returns whether it is completed, now or before."""
    change = {"status": "completed", "user_status": user_status(purchase.user, "completed"), "updated_at": iso_now()}
    if await _change_pending(records, purchase, members=change, remove=["pending"]) is not None:
        return True
    return (await get_purchase(records, purchase.user, purchase.purchase)).status == "completed"


async def cancel_purchase(records: PersistenceClient, user: str, purchase: str, reason: CancelReason) -> Purchase:
    """Cancels a pending purchase, and gives its stock back, in one transaction. Doing it again changes nothing.

    Raises NotFound, and Conflict for a purchase that is completed.
    """
    for _ in range(_ATTEMPTS):
        found = await get_purchase(records, user, purchase)
        if found.status == "cancelled":
            return found
        if found.status == "completed":
            raise Conflict(
                "the purchase is completed",
                field="id",
                details={"status": found.status},
                reason=ErrorReason("purchase_completed"),
            )
        now = iso_now()
        change = {
            "status": "cancelled",
            "user_status": user_status(user, "cancelled"),
            "updated_at": now,
            "reason": reason,
        }
        pending = Condition(equal={"status": "pending"})
        actions: list[Action] = [
            Update(PURCHASES.name, _key(user, purchase), set=change, remove=["pending"], when=pending),
            *await _give_back(records, found, now),
        ]
        try:
            await records.transact(actions, safe=True, items=False)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            continue
        return await get_purchase(records, user, purchase)
    raise Conflict("other clients keep changing the stock", hint="try again later", reason=ErrorReason("busy"))


async def _give_back(records: PersistenceClient, purchase: Purchase, now: str) -> list[Action]:
    keys = [{"store": item.store, "item": item.book_id} for item in purchase.items]
    stock = await records.get_items(STOCK.name, keys)
    members: dict[str, Any] = {"cause": Cause.RELEASE.value, "reference": purchase.purchase, "changed": now}
    actions: list[Action] = [
        Update(
            STOCK.name,
            key,
            set=members,
            remove=["orders"],
            add={"count": item.quantity},
            when=Condition(exists=stored.item is not None),
        )
        for key, item, stored in zip(keys, purchase.items, stock, strict=True)
    ]
    if any(stored.item is None for stored in stock):
        actions.append(advance_catalogue())
    return actions


async def _change_pending(
    records: PersistenceClient, purchase: Purchase, *, members: dict[str, Any], remove: list[str]
) -> Purchase | None:
    """Changes members of a purchase if it is pending; None if it is not."""
    pending = Condition(equal={"status": "pending"})
    change = Update(PURCHASES.name, _key(purchase.user, purchase.purchase), set=members, remove=remove, when=pending)
    try:
        (written,) = await records.transact([change], safe=True)
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        return None
    assert written.item is not None
    return read_purchase(written.item)


def _key(user: str, purchase: str) -> dict[str, str]:
    return {"user": user, "purchase": purchase}
