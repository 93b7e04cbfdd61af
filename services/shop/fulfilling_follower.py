"""Hands pending purchases to the intake as orders, and completes or cancels them as their orders end.

The purchase is its own outbox: it is committed in the records, the order in the intake's store, and no transaction
spans both. The `request_id` of the order names the purchase, so an order is accepted once, however often it is sent,
and kills at any place lose nothing:

    change feed    order sent, its id stored in the purchase
    order events   purchase completed, or cancelled with its stock given back
    sweep          both of these for all pending purchases, and the expiry

An order has no personal data: its customer is `TENANT/USER`, its products are the ids of books. Changes and events make
it fast and the sweep makes it certain, so a lost position costs time alone.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from clients.accounts.tenants import iterate_tenants
from clients.distributed import DistributedClient
from clients.errors import ClientError, Refused
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient, StoredChange
from clients.replies import StoredOrder
from clients.shop.purchases import (
    cancel_purchase,
    complete_purchase,
    get_purchase,
    iterate_pending,
    record_order,
)
from services.shop.fulfilling import DECLINED_TEXT
from services.shop.payments import PaymentDeclined, Payments, take_payment
from shared.domain.errors import ComandaError, Conflict, InvalidParams, NotFound
from shared.domain.orders import Item, OrderRequest
from shared.domain.purchases import (
    PAID_ON_DELIVERY,
    SHARDS,
    CancelReason,
    Purchase,
    format_request_id,
    parse_request_id,
    read_purchase,
)
from shared.domain.states import CANCEL, FAIL, FINAL, FINISH, State
from shared.domain.tables import PURCHASES, SHOP_STATE
from shared.domain.tenants import MAIN, is_tenant_name

_POSITION: Final = {"name": "fulfilling"}
_CLIENT_ID: Final = "shop"
_ENDING_EVENTS: Final = (FINISH.event, FAIL.event, CANCEL.event)
_POLL_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.5
_POSITION_SECONDS: Final = 30.0
_SWEEP_SECONDS: Final = 60.0
_SWEEP_SECONDS_WITHOUT_EVENTS: Final = 2.0
# Pause after a sweep, as a multiple of the time that it took: the sweep works a fifth of the time.
_PAUSE_RATIO: Final = 4.0
_PAGE_CHANGES: Final = 500
_AT_ONCE: Final = 16
_SHOWN: Final = 200
_TEMPORARY: Final = frozenset({"queue_full", "unavailable", "db_error", "deadline_exceeded"})

Step = Callable[[str, Purchase], Awaitable[None]]


class PurchaseFollower:
    """Fulfils purchases of all tenants until cancelled. Without `distributed` there are no events: it looks often.

    Purchases that are pending for longer than `pending_seconds` are cancelled, unless they are paid on delivery.
    """

    def __init__(
        self,
        persistence: PersistenceClient,
        intake: IntakeClient,
        distributed: DistributedClient | None,
        payments: Payments,
        *,
        pending_seconds: float,
    ) -> None:
        self._persistence = persistence
        self._intake = intake
        self._distributed = distributed
        self._payments = payments
        self._pending_seconds = pending_seconds
        self._sweep_due = asyncio.Event()
        """Set if the sweep has something to do before its time."""
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works until cancelled. Waits for servers that are unavailable."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._follow_changes())
            parts.create_task(self._sweep())
            if self._distributed is not None:
                parts.create_task(self._follow_events(self._distributed))

    # Changes.

    async def _follow_changes(self) -> None:
        position: str | None = None
        is_loaded, stored_at = False, 0.0
        while True:
            try:
                if not is_loaded:
                    stored = await self._persistence.get_item(SHOP_STATE.name, _POSITION)
                    position = None if stored.item is None else stored.item["position"]
                    is_loaded = True
                page = await self._persistence.changes(position, tenant=None, limit=_PAGE_CHANGES)
                found = [change for change in page.changes if change.table == PURCHASES.name]
                await asyncio.gather(*(self._process_change(change) for change in found))
                if page.position != position and (found or time.monotonic() > stored_at + _POSITION_SECONDS):
                    await self._persistence.put_item(SHOP_STATE.name, {**_POSITION, "position": page.position})
                    stored_at = time.monotonic()
            except (ClientError, OSError) as error:
                if isinstance(error, Refused) and error.error in ("gone", "invalid_params"):
                    # The sweep finds the purchases whose changes are missed.
                    self._log.warning("purchase_changes_missed", reason=error.message)
                    position = None
                    self._sweep_due.set()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            position = page.position
            if not page.changes:
                await asyncio.sleep(_POLL_SECONDS)

    async def _process_change(self, change: StoredChange) -> None:
        if change.new is None or change.new.item is None or not is_tenant_name(change.tenant):
            return
        try:
            purchase = read_purchase(change.new.item)
        except InvalidParams:
            return
        if purchase.status == "pending" and purchase.order is None:
            await self._try(self._hand_in, change.tenant, purchase)
        elif purchase.status == "cancelled":
            await self._try(self._end_cancelled, change.tenant, purchase)

    # Events.

    async def _follow_events(self, distributed: DistributedClient) -> None:
        since: int | None = None
        while True:
            try:
                async for event in distributed.observe(["orders"], since=since, events=_ENDING_EVENTS):
                    if event["event"] in ("gap", "lost", "connected"):
                        self._sweep_due.set()
                        continue
                    since = event.get("seq", since)
                    # Customers of purchases are named like this; the order itself says what it is.
                    if "/" in event.get("cliente", ""):
                        await self.settle_order(event["id"])
            except (ClientError, OSError) as error:
                if isinstance(error, Refused) and error.error == "invalid_params":
                    since = None
                self._sweep_due.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def settle_order(self, order_id: str) -> None:
        """Completes or cancels the purchase that an order fulfils, if the order has ended. Raises ClientError."""
        order = await self._intake.status(order_id)
        ordered = parse_request_id(order.request_id)
        if ordered is None or not is_tenant_name(ordered.tenant):
            return
        try:
            purchase = await get_purchase(self._persistence.of(ordered.tenant), ordered.user, ordered.purchase)
        except (InvalidParams, NotFound):
            return
        if purchase.status != "pending":
            return
        if purchase.order is None:
            # The order has ended before its id was stored.
            self._sweep_due.set()
            return
        await self._try(lambda tenant, found: self._settle(tenant, found, order), ordered.tenant, purchase)

    # The sweep.

    async def _sweep(self) -> None:
        usual = _SWEEP_SECONDS if self._distributed is not None else _SWEEP_SECONDS_WITHOUT_EVENTS
        while True:
            began = time.monotonic()
            self._sweep_due.clear()
            try:
                names = [found.record.tenant async for found in iterate_tenants(self._persistence)]
                for tenant in [*(name for name in names if name != MAIN), MAIN]:
                    await self._sweep_tenant(tenant)
            except (ComandaError, OSError) as error:
                self._log.debug("purchase_sweep_failed", reason=str(error))
                self._sweep_due.set()
            took = time.monotonic() - began
            await asyncio.sleep(max(took * _PAUSE_RATIO, _RETRY_SECONDS))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(usual):
                    await self._sweep_due.wait()

    async def _sweep_tenant(self, tenant: str) -> None:
        records = self._persistence.of(tenant)
        for shard in range(SHARDS):
            found = [purchase async for purchase in iterate_pending(records, f"{shard:x}")]
            await asyncio.gather(*(self._try(self._check_pending, tenant, purchase) for purchase in found))

    async def _check_pending(self, tenant: str, purchase: Purchase) -> None:
        if purchase.order is not None:
            try:
                order = await self._intake.status(purchase.order)
            except Refused as refusal:
                if refusal.error != "not_found":
                    raise
            else:
                await self._settle(tenant, purchase, order)
                if order.state in FINAL:
                    return
        if self._has_expired(purchase):
            await self._cancel(tenant, purchase, "expired")
        elif purchase.order is None:
            await self._hand_in(tenant, purchase)

    def _has_expired(self, purchase: Purchase) -> bool:
        if purchase.payment_method in PAID_ON_DELIVERY:
            return False
        age = datetime.now(UTC) - datetime.fromisoformat(purchase.created_at)
        return age.total_seconds() > self._pending_seconds

    # Steps, each of which may be repeated.

    async def _try(self, step: Step, tenant: str, purchase: Purchase) -> None:
        """Performs a step for a purchase. The sweep repeats it if the purchase itself makes it fail."""
        async with self._places:
            try:
                await step(tenant, purchase)
            except (Conflict, NotFound, Refused) as error:
                if isinstance(error, Refused) and error.error in _TEMPORARY:
                    self._sweep_due.set()
                    return
                reason = error.message[:_SHOWN]
                self._log.warning("purchase_step_failed", purchase=purchase.purchase, tenant=tenant, reason=reason)

    async def _hand_in(self, tenant: str, purchase: Purchase) -> None:
        """Sends the order of a purchase. While the queue is full, the sweep sends it again."""
        accepted = await self._intake.order(build_order(tenant, purchase))
        if not await record_order(self._persistence.of(tenant), purchase, accepted.id):
            await self._cancel_order(accepted.id)

    async def _settle(self, tenant: str, purchase: Purchase, order: StoredOrder) -> None:
        """Ends a pending purchase as its order has ended. Orders of others with its `request_id` do not count."""
        if order.id != purchase.order:
            return
        if order.state is State.DONE:
            # `Fulfilling` has done both already; with other handlers the payment is taken here.
            try:
                await take_payment(self._payments, purchase)
            except PaymentDeclined:
                await self._cancel(tenant, purchase, "payment_declined")
                return
            if not await complete_purchase(self._persistence.of(tenant), purchase):
                await self._payments.refund(purchase)
        elif order.state is State.FAILED or order.state is State.CANCELLED:
            declined = (order.detail or "").startswith(DECLINED_TEXT)
            await self._cancel(tenant, purchase, "payment_declined" if declined else "order_failed")

    async def _cancel(self, tenant: str, purchase: Purchase, reason: CancelReason) -> None:
        # A refund that fails leaves the purchase pending, so that the sweep repeats it.
        await self._payments.refund(purchase)
        await cancel_purchase(self._persistence.of(tenant), purchase.user, purchase.purchase, reason)
        if purchase.order is not None:
            await self._cancel_order(purchase.order)

    async def _end_cancelled(self, _: str, purchase: Purchase) -> None:
        """Refunds a cancelled purchase and cancels its order, if a worker has not begun it."""
        await self._payments.refund(purchase)
        if purchase.order is not None:
            await self._cancel_order(purchase.order)

    async def _cancel_order(self, order: str) -> None:
        try:
            await self._intake.cancel(order)
        except Refused:
            # It has begun or ended: the handler sees that the purchase is cancelled.
            self._log.debug("order_not_cancelled", order=order)


def build_order(tenant: str, purchase: Purchase) -> OrderRequest:
    """Returns the order that fulfils a purchase, without personal data."""
    return OrderRequest(
        customer=f"{tenant}/{purchase.user}",
        items=[Item(item.book_id, item.quantity) for item in purchase.items],
        address=f"purchase {purchase.purchase}",
        request_id=format_request_id(tenant, purchase),
        client_id=_CLIENT_ID,
    )
