"""Decides reservations order by order, for orders with scarce products and for later attempts.

Decisions are based on the counts and blocks that were read before. The transaction fails if these have changed
meanwhile.
"""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from services.inventory.batches import Stores, build_withdrawal
from services.inventory.grants import (
    MAX_STORES_BYTES,
    HeldStock,
    ReservationBlock,
    block_of,
    sent_names,
    stores_text,
    sum_quantities,
)
from shared.domain.records import MAX_ACTIONS, Action
from shared.runtime.clock import iso_now
from workers.handlers import Job, Reject

MAX_LINES = MAX_ACTIONS - 5
"""The maximum number of stocked products of an order, so that all of its changes fit into one transaction."""


class Decision(NamedTuple):
    """The decision on the first `orders` of some orders, as one transaction."""

    orders: int
    actions: list[Action]
    taken: Sequence[tuple[str, str]]
    """The stores and products of the first actions, in their order."""
    blocks: Sequence[str]
    """The blocks of the remaining actions."""
    refused: dict[str, Reject]


def decide_orders(
    jobs: Sequence[Job], blocks: Mapping[str, ReservationBlock], stores: Stores, doubtful: Container[str]
) -> Decision:
    """Decides as many of the orders as fit into one transaction, in their order. Changes the orders' blocks.

    For `doubtful` orders (by id) and for later attempts the block is written even if they are rejected: a transaction
    that was sent for them before cannot take effect after that.
    """
    builder = _DecisionBuilder(blocks, stores, doubtful)
    for number, job in enumerate(jobs):
        if not builder.add_order(job):
            return builder.build_decision(number)
    return builder.build_decision(len(jobs))


class _Withdrawal(Struct):
    """The quantity that a transaction takes of a product in one store."""

    first: str
    """The id of the first order that takes from it."""
    orders: int = 0
    quantity: int = 0


class _DecisionBuilder:
    """Collects the actions of one transaction."""

    def __init__(self, blocks: Mapping[str, ReservationBlock], stores: Stores, doubtful: Container[str]) -> None:
        self._blocks = blocks
        self._stores = stores
        self._doubtful = doubtful
        self._withdrawals: dict[tuple[str, str], _Withdrawal] = {}
        self._written: dict[str, None] = {}
        self._refused: dict[str, Reject] = {}

    def add_order(self, job: Job) -> bool:
        """Decides on an order. Returns False, and changes nothing, if the transaction has no room for it."""
        held = self._blocks[block_of(job.id)].held.get(job.id)
        if held is not None:
            return held.attempt >= job.attempt or self._grant_order(job, {}, held.stores)
        stores = self._stores
        wanted = {name: count for name, count in sum_quantities(job.request.items).items() if stores.get(name)}
        if not wanted:
            return True
        found = self._choose_stores(job, wanted, self._blocks[block_of(job.id)])
        if isinstance(found, Reject):
            if (job.attempt > 1 or job.id in self._doubtful) and not self._add_withdrawals(job.id, {}):
                return False
            self._refused[job.id] = found
            return True
        return self._grant_order(
            job, {(store, name): wanted[name] for name, store in found.items()}, stores_text(found)
        )

    def _choose_stores(self, job: Job, wanted: Mapping[str, int], block: ReservationBlock) -> dict[str, str] | Reject:
        """Returns the first store with enough of each product, or the rejection of the order."""
        found: dict[str, str] = {}
        for name, quantity in wanted.items():
            store = next(
                (store for store in self._stores[name] if self._remaining_count(store, name) >= quantity), None
            )
            if store is None:
                left = max(self._remaining_count(store, name) for store in self._stores[name])
                sent = sent_names(job.request.items)[name]
                # Several stores together may have enough, but all of a product comes from the same store.
                rest = f"no store has more than {left} left" if left and len(self._stores[name]) > 1 else f"{left} left"
                return Reject(f"out of stock: {sent}: {quantity} asked for, {rest}")
            found[name] = store
        text = stores_text(found)
        if len(found) > MAX_LINES or len(text.encode()) > MAX_STORES_BYTES or not block.has_room(text):
            return Reject(
                f"too many stocked products for one order: {len(found)}; there may be {MAX_LINES}, "
                f"and {MAX_STORES_BYTES} bytes of names: order them in parts"
            )
        return found

    def _remaining_count(self, store: str, name: str) -> int:
        taken = self._withdrawals.get((store, name))
        return self._stores[name][store] - (0 if taken is None else taken.quantity)

    def _grant_order(self, job: Job, lines: Mapping[tuple[str, str], int], text: str) -> bool:
        if not self._add_withdrawals(job.id, lines):
            return False
        self._blocks[block_of(job.id)].held[job.id] = HeldStock(job.attempt, text)
        return True

    def _add_withdrawals(self, order_id: str, lines: Mapping[tuple[str, str], int]) -> bool:
        """Adds quantities by store and product, and the order's block. Returns False if there is no room."""
        block = block_of(order_id)
        more = sum(pair not in self._withdrawals for pair in lines) + (block not in self._written)
        if len(self._withdrawals) + len(self._written) + more > MAX_ACTIONS:
            return False
        for pair, quantity in lines.items():
            share = self._withdrawals.setdefault(pair, _Withdrawal(order_id))
            share.orders += 1
            share.quantity += quantity
        self._written[block] = None
        return True

    def build_decision(self, orders: int) -> Decision:
        """Returns the decision on the orders so far."""
        now = iso_now()
        actions: list[Action] = [
            build_withdrawal(store, name, share.quantity, share.first, share.orders, now)
            for (store, name), share in self._withdrawals.items()
        ]
        actions += [self._blocks[block].build_update(now) for block in self._written]
        return Decision(orders, actions, list(self._withdrawals), list(self._written), self._refused)
