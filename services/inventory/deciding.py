"""Reserving order by order, for those that are short of something, or were begun before.

It is decided by what was read before: the counts, and what orders hold already. What is written has to find the records
as they were read.
"""

import time
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from services.inventory.batches import Stores, taking
from services.inventory.grants import MAX_STORES_BYTES, Block, Held, block_of, quantities, sent_names, stores_text
from shared.domain.orders import iso_time
from shared.domain.records import MAX_ACTIONS, Action
from workers.handlers import Job, Reject

MAX_LINES = MAX_ACTIONS - 5
"""How many stocked products an order may have: all that it changes is one transaction."""


class Decision(NamedTuple):
    """What becomes of the first `orders` of some orders, in one transaction."""

    orders: int
    actions: list[Action]
    taken: Sequence[tuple[str, str]]
    """Stores and products that the first of the actions are about."""
    blocks: Sequence[str]
    """Blocks that the others are about."""
    refused: dict[str, Reject]


def decide(jobs: Sequence[Job], blocks: Mapping[str, Block], stores: Stores, doubtful: Container[str]) -> Decision:
    """As many of the orders as one transaction can hold, in their order. Changes what the blocks hold.

    Orders that are `doubtful`, by their ids, or in a later attempt than the first have their block written even where
    they are refused: nothing that was sent for them before takes effect after that.
    """
    deciding = _Deciding(blocks, stores, doubtful)
    for number, job in enumerate(jobs):
        if not deciding.take(job):
            return deciding.decision(number)
    return deciding.decision(len(jobs))


class _Taken(Struct):
    """What a transaction takes of one product of one store."""

    first: str
    """The id of the first order that it is for."""
    orders: int = 0
    quantity: int = 0


class _Deciding:
    """A transaction in the making."""

    def __init__(self, blocks: Mapping[str, Block], stores: Stores, doubtful: Container[str]) -> None:
        self._blocks = blocks
        self._stores = stores
        self._doubtful = doubtful
        self._taken: dict[tuple[str, str], _Taken] = {}
        self._written: dict[str, None] = {}
        self._refused: dict[str, Reject] = {}

    def take(self, job: Job) -> bool:
        """Decides what becomes of an order, unless there is no room for it any more."""
        held = self._blocks[block_of(job.id)].held.get(job.id)
        if held is not None:
            return held.attempt >= job.attempt or self._give(job, {}, held.stores)
        stores = self._stores
        wanted = {name: count for name, count in quantities(job.request.items).items() if stores.get(name)}
        if not wanted:
            return True
        found = self._find(job, wanted, self._blocks[block_of(job.id)])
        if isinstance(found, Reject):
            if (job.attempt > 1 or job.id in self._doubtful) and not self._add(job.id, {}):
                return False
            self._refused[job.id] = found
            return True
        return self._give(job, {(store, name): wanted[name] for name, store in found.items()}, stores_text(found))

    def _find(self, job: Job, wanted: Mapping[str, int], block: Block) -> dict[str, str] | Reject:
        """The first store that has enough of each product, or why an order cannot have them."""
        found: dict[str, str] = {}
        for name, quantity in wanted.items():
            store = next((store for store in self._stores[name] if self._left(store, name) >= quantity), None)
            if store is None:
                left = max(self._left(store, name) for store in self._stores[name])
                sent = sent_names(job.request.items)[name]
                # There may be enough in several stores together, but a product comes as a whole from one.
                told = f"no store has more than {left} left" if left and len(self._stores[name]) > 1 else f"{left} left"
                return Reject(f"out of stock: {sent}: {quantity} asked for, {told}")
            found[name] = store
        text = stores_text(found)
        if len(found) > MAX_LINES or len(text.encode()) > MAX_STORES_BYTES or not block.has_room(text):
            return Reject(
                f"too many stocked products for one order: {len(found)}; there may be {MAX_LINES}, "
                f"and {MAX_STORES_BYTES} bytes of names: order them in parts"
            )
        return found

    def _left(self, store: str, name: str) -> int:
        taken = self._taken.get((store, name))
        return self._stores[name][store] - (0 if taken is None else taken.quantity)

    def _give(self, job: Job, lines: Mapping[tuple[str, str], int], text: str) -> bool:
        if not self._add(job.id, lines):
            return False
        self._blocks[block_of(job.id)].held[job.id] = Held(job.attempt, text)
        return True

    def _add(self, order_id: str, lines: Mapping[tuple[str, str], int]) -> bool:
        """Takes so many of each product of a store, and has the order's block written."""
        block = block_of(order_id)
        more = sum(pair not in self._taken for pair in lines) + (block not in self._written)
        if len(self._taken) + len(self._written) + more > MAX_ACTIONS:
            return False
        for pair, quantity in lines.items():
            share = self._taken.setdefault(pair, _Taken(order_id))
            share.orders += 1
            share.quantity += quantity
        self._written[block] = None
        return True

    def decision(self, orders: int) -> Decision:
        """What has come of it."""
        now = iso_time(time.time_ns() // 1000)
        actions: list[Action] = [
            taking(store, name, share.quantity, share.first, share.orders, now)
            for (store, name), share in self._taken.items()
        ]
        actions += [self._blocks[block].update(now) for block in self._written]
        return Decision(orders, actions, list(self._taken), list(self._written), self._refused)
