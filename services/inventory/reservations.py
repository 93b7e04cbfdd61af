"""Reserves stock for orders: all or nothing, once for each order, and never more than there is.

The transaction that takes stock also grants it to the orders (`services.inventory.grants`), on the condition that the
grant does not exist. It is therefore idempotent: retries, concurrent workers and lost answers do no harm. A grant names
the attempt that last confirmed it, so that the end of an earlier attempt does not release stock that a later one uses.
"""

from collections.abc import Collection, Sequence
from functools import partial

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import advance_catalogue
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.batches import PlannedTransaction, find_unstocked, plan_batch
from services.inventory.decisions import decide_orders
from services.inventory.grants import (
    GrantedStock,
    ReservationBlock,
    block_of,
    build_release,
    name_of,
    read_grants,
    read_stores,
    sent_names,
    sum_quantities,
)
from services.inventory.server_retry import ServerRetry
from services.inventory.stock_index import StockIndex
from shared.domain.orders import Item
from shared.domain.purchases import is_purchase_order
from shared.domain.records import Action, Condition, Update
from shared.domain.stock import Cause
from shared.domain.tables import RESERVATIONS, STOCK
from shared.runtime.clock import iso_now
from workers.handlers import Job, Reject, Unstocked

_KEYS = 1000


class Reserver:
    """Reserves and releases stock through `client`. Waits while the persistence server is unavailable.

    Only one call of `reserve_orders` may run at a time. Attempts of one order have different numbers.
    """

    def __init__(self, client: PersistenceClient, unstocked_items: Unstocked = "accept") -> None:
        self._client = client
        self._rejects_unstocked = unstocked_items == "reject"
        self._stock_index = StockIndex(client)
        self._server_retry = ServerRetry("reservations")

    async def reserve_orders(self, jobs: Sequence[Job]) -> dict[str, Exception | str]:
        """Reserves the stocked products of orders. Returns rejections and notes by order id.

        Orders with products that are not stocked are rejected or get a note, depending on `unstocked_items`.

        Raises Refused if the persistence server rejects the request.
        """
        # Checkouts have taken the stock of purchases already.
        jobs = [job for job in jobs if not is_purchase_order(job.request.request_id)]
        if not jobs:
            return {}
        await self._refresh_index(jobs)
        found: dict[str, Exception | str] = {}
        for job_id, text in find_unstocked(jobs, self._stock_index.stores).items():
            found[job_id] = Reject(text) if self._rejects_unstocked else text
        if found and self._rejects_unstocked:
            jobs = [job for job in jobs if job.id not in found]
        return {**found, **await self._reserve_batch(jobs)}

    async def _reserve_batch(self, jobs: Sequence[Job]) -> dict[str, Exception]:
        batch = plan_batch(jobs, self._stock_index.stores)
        tried: set[str] = set()
        for transaction in batch.transactions:
            if not await self._write_transaction(transaction):
                tried.update(job.id for job in transaction.jobs)
        if not batch.rest and not tried:
            return {}
        left = tried.union(job.id for job in batch.rest)
        return await self._decide_orders([job for job in jobs if job.id in left], tried)

    async def _refresh_index(self, jobs: Sequence[Job]) -> None:
        """Updates the stock index for the products of the orders."""
        await self._server_retry.retry_until_answered(self._stock_index.refresh_index)
        if self._stock_index.is_complete:
            return
        names = {name_of(product) for job in jobs for product in job.request.items}
        await self._server_retry.retry_until_answered(lambda: self._stock_index.load_products(names))

    async def _write_transaction(self, transaction: PlannedTransaction) -> bool:
        """Returns whether the transaction has certainly taken effect."""
        try:
            items = await self._send_transaction(transaction.actions)
        except Refused:
            # A count is invalid; the order-by-order decision reads it again.
            return False
        if items is None:
            return False
        self._store_counts(transaction.taken, items)
        return True

    def _store_counts(self, taken: Sequence[tuple[str, str]], items: Sequence[StoredItem]) -> None:
        """Stores the counts after a transaction in the index."""
        for (store, name), one in zip(taken, items, strict=False):
            assert one.item is not None
            self._stock_index.stores[name][store] = one.item["count"]

    async def _decide_orders(self, jobs: Sequence[Job], tried: Collection[str]) -> dict[str, Exception]:
        """Reserves order by order with current counts.

        The transactions of the orders in `tried` may have taken effect.
        """
        refused: dict[str, Exception] = {}
        blocks: dict[str, ReservationBlock] = {}
        while jobs:
            if not blocks:
                await self._refresh_index(jobs)
                names = {name_of(product) for job in jobs for product in job.request.items}
                await self._server_retry.retry_until_answered(partial(self._stock_index.read_counts, names))
                items = await self._load_blocks([job.id for job in jobs])
                blocks = {block: ReservationBlock(block, item) for block, item in items.items()}
            decision = decide_orders(jobs, blocks, self._stock_index.stores, tried)
            if decision.actions:
                written = await self._send_transaction(decision.actions)
                if written is None:
                    blocks = {}
                    continue
                self._store_counts(decision.taken, written)
                for block, item in zip(decision.blocks, written[len(decision.taken) :], strict=True):
                    blocks[block] = ReservationBlock(block, item)
            refused.update(decision.refused)
            jobs = jobs[decision.orders :]
        return refused

    async def _load_blocks(self, order_ids: Collection[str]) -> dict[str, StoredItem]:
        """Returns the records of the orders' blocks by block id."""
        blocks = list(dict.fromkeys(map(block_of, order_ids)))
        found: list[StoredItem] = []
        for start in range(0, len(blocks), _KEYS):
            keys = [{"id": block} for block in blocks[start : start + _KEYS]]
            found += await self._server_retry.retry_until_answered(
                partial(self._client.get_items, RESERVATIONS.name, keys)
            )
        return dict(zip(blocks, found, strict=True))

    async def load_held(self, order_ids: Collection[str]) -> dict[str, GrantedStock]:
        """Returns the stock that the orders hold, by order id; orders without stock are omitted."""
        found: dict[str, GrantedStock] = {}
        for one in (await self._load_blocks(order_ids)).values():
            if one.item is not None:
                found.update(read_grants(one.item))
        return {order_id: found[order_id] for order_id in order_ids if order_id in found}

    async def release_order(self, order_id: str, products: Sequence[str | Item], attempt: int | None = None) -> bool:
        """Releases an order's stock unless a later attempt holds it. Returns whether there was any.

        `products` are those of the order. Raises Refused if the persistence server rejects the request.
        """
        while True:
            found = (await self.load_held([order_id])).get(order_id)
            if found is None or (attempt is not None and found.held.attempt > attempt):
                return False
            stores = read_stores(found.held.stores)
            # The order's spelling is used: an item that was removed meanwhile is recreated with it.
            sent = sent_names(products)
            lines = [
                (stores[name], sent[name], count) for name, count in sum_quantities(products).items() if name in stores
            ]
            keys = [{"store": store, "item": name} for store, name, _ in lines]
            stock = await self._server_retry.retry_until_answered(partial(self._client.get_items, STOCK.name, keys))
            now = iso_now()
            members = {"cause": Cause.RELEASE.value, "reference": order_id, "changed": now}
            actions: list[Action] = []
            for key, (_, _, count), one in zip(keys, lines, stock, strict=True):
                there = Condition(exists=one.item is not None)
                actions.append(Update(STOCK.name, key, members, add={"count": count}, when=there))
            actions.append(build_release(order_id, found, now))
            if any(one.item is None for one in stock):
                actions.append(advance_catalogue())
            if await self._send_transaction(actions) is not None:
                return True

    async def _send_transaction(self, actions: Sequence[Action]) -> Sequence[StoredItem] | None:
        """Returns the items after a transaction; None if it has not, or not certainly, taken effect."""
        try:
            items = await self._client.transact(actions, safe=True)
        except ClientError as error:
            if not isinstance(error, Refused) or error.error != "conflict":
                await self._server_retry.wait_after_error(error)
            return None
        self._server_retry.record_answer()
        return items
