"""What orders have taken of the stock: as a whole or not at all, once for each order, and never more than there is.

The transaction that takes stock also grants it to the orders (`services.inventory.grants`), on the condition that it
has not done so before: however often it is tried, by whom, and whatever answer was lost, it takes effect once. A grant
names the attempt that it was last confirmed for, so that what an earlier attempt held is not given back once a later
one counts on it.
"""

import time
from collections.abc import Collection, Sequence
from functools import partial

from clients.errors import ClientError, Refused
from clients.inventory.catalogue import catalogue_changed
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.batches import Part, plan_batch, unstocked
from services.inventory.deciding import decide
from services.inventory.grants import (
    Block,
    Granted,
    block_of,
    given_back,
    granted,
    name_of,
    quantities,
    read_stores,
    sent_names,
)
from services.inventory.patience import Patience
from services.inventory.stocked import Stocked
from shared.domain.orders import Item, iso_time
from shared.domain.records import Action, Condition, Update
from shared.domain.stock import Cause
from shared.domain.tables import RESERVATIONS, STOCK
from workers.handlers import Job, Reject, Unstocked

_KEYS = 1000


class Reserver:
    """Reserves and releases over `client`, for as long as it takes where the persistence server is away.

    One call of `reserve` at a time. No two attempts at an order have the same number.
    """

    def __init__(self, client: PersistenceClient, unstocked_items: Unstocked = "accept") -> None:
        self._client = client
        self._rejects_unstocked = unstocked_items == "reject"
        self._stocked = Stocked(client)
        self._patience = Patience("reservations")

    async def reserve(self, jobs: Sequence[Job]) -> dict[str, Exception | str]:
        """Reserves what orders need of what is stocked: which of them cannot have it, by their ids, and why.

        Those that name a product which is not stocked are refused, or have a note that says so.

        Raises Refused for what the persistence server holds against it.
        """
        await self._look(jobs)
        found: dict[str, Exception | str] = {}
        for job_id, text in unstocked(jobs, self._stocked.stores).items():
            found[job_id] = Reject(text) if self._rejects_unstocked else text
        if found and self._rejects_unstocked:
            jobs = [job for job in jobs if job.id not in found]
        return {**found, **await self._reserve(jobs)}

    async def _reserve(self, jobs: Sequence[Job]) -> dict[str, Exception]:
        batch = plan_batch(jobs, self._stocked.stores)
        tried: set[str] = set()
        for part in batch.parts:
            if not await self._write(part):
                tried.update(job.id for job in part.jobs)
        if not batch.rest and not tried:
            return {}
        left = tried.union(job.id for job in batch.rest)
        return await self._decide([job for job in jobs if job.id in left], tried)

    async def _look(self, jobs: Sequence[Job]) -> None:
        """Learns what is stocked of what the orders name."""
        await self._patience.ask(self._stocked.look)
        if self._stocked.whole:
            return
        names = {name_of(product) for job in jobs for product in job.request.items}
        await self._patience.ask(lambda: self._stocked.learn(names))

    async def _write(self, part: Part) -> bool:
        """Whether all of it has taken effect; if not, it may have all the same."""
        try:
            items = await self._transact(part.actions)
        except Refused:
            # What has become of the stock cannot be taken from; it is seen when it is read.
            return False
        if items is None:
            return False
        self._enter(part.taken, items)
        return True

    def _enter(self, taken: Sequence[tuple[str, str]], items: Sequence[StoredItem]) -> None:
        """Keeps the counts that a transaction has left."""
        for (store, name), one in zip(taken, items, strict=False):
            assert one.item is not None
            self._stocked.stores[name][store] = one.item["count"]

    async def _decide(self, jobs: Sequence[Job], tried: Collection[str]) -> dict[str, Exception]:
        """Reserves order by order, with what is read now. `tried` are those that may have come through already."""
        refused: dict[str, Exception] = {}
        blocks: dict[str, Block] = {}
        while jobs:
            if not blocks:
                await self._look(jobs)
                names = {name_of(product) for job in jobs for product in job.request.items}
                await self._patience.ask(partial(self._stocked.count, names))
                items = await self._items([job.id for job in jobs])
                blocks = {block: Block(block, item) for block, item in items.items()}
            decision = decide(jobs, blocks, self._stocked.stores, tried)
            if decision.actions:
                written = await self._transact(decision.actions)
                if written is None:
                    blocks = {}
                    continue
                self._enter(decision.taken, written)
                for block, item in zip(decision.blocks, written[len(decision.taken) :], strict=True):
                    blocks[block] = Block(block, item)
            refused.update(decision.refused)
            jobs = jobs[decision.orders :]
        return refused

    async def _items(self, order_ids: Collection[str]) -> dict[str, StoredItem]:
        """The items that say what the orders and their neighbours hold, by their ids."""
        blocks = list(dict.fromkeys(map(block_of, order_ids)))
        found: list[StoredItem] = []
        for start in range(0, len(blocks), _KEYS):
            keys = [{"id": block} for block in blocks[start : start + _KEYS]]
            found += await self._patience.ask(partial(self._client.get_items, RESERVATIONS.name, keys))
        return dict(zip(blocks, found, strict=True))

    async def held(self, order_ids: Collection[str]) -> dict[str, Granted]:
        """What those of the orders hold that hold something, by their ids."""
        found: dict[str, Granted] = {}
        for one in (await self._items(order_ids)).values():
            if one.item is not None:
                found.update(granted(one.item))
        return {order_id: found[order_id] for order_id in order_ids if order_id in found}

    async def release(self, order_id: str, products: Sequence[str | Item], attempt: int | None = None) -> bool:
        """Gives back what an order for `products` holds, unless it is for a later attempt; whether there was anything.

        Raises Refused for what the persistence server holds against it.
        """
        while True:
            found = (await self.held([order_id])).get(order_id)
            if found is None or (attempt is not None and found.held.attempt > attempt):
                return False
            stores = read_stores(found.held.stores)
            # Under the names that were ordered: an item that has gone meanwhile comes back under such a one.
            sent = sent_names(products)
            lines = [
                (stores[name], sent[name], count) for name, count in quantities(products).items() if name in stores
            ]
            keys = [{"store": store, "item": name} for store, name, _ in lines]
            stock = await self._patience.ask(partial(self._client.get_items, STOCK.name, keys))
            now = iso_time(time.time_ns() // 1000)
            members = {"cause": Cause.RELEASE.value, "reference": order_id, "changed": now}
            actions: list[Action] = []
            for key, (_, _, count), one in zip(keys, lines, stock, strict=True):
                there = Condition(exists=one.item is not None)
                actions.append(Update(STOCK.name, key, members, add={"count": count}, when=there))
            actions.append(given_back(order_id, found, now))
            if any(one.item is None for one in stock):
                actions.append(catalogue_changed())
            if await self._transact(actions) is not None:
                return True

    async def _transact(self, actions: Sequence[Action]) -> Sequence[StoredItem] | None:
        """What the actions have left; None where they have not taken effect, or where that is not known."""
        try:
            items = await self._client.transact(actions, safe=True)
        except ClientError as error:
            if not isinstance(error, Refused) or error.error != "conflict":
                await self._patience.wait(error)
            return None
        self._patience.answered()
        return items
