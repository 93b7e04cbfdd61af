"""Feeds: changes of orders and records, read from a store in order, from a position on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from shared.domain.ids import OrderRange
from shared.domain.records import Record, Table
from shared.domain.states import State, Transition
from shared.stores.ports.records import Changes


class OrderStateChange(NamedTuple):
    """The same change of state of several orders at one time."""

    transition: Transition
    at: int
    """Microseconds since the epoch."""
    ranges: Sequence[OrderRange]
    customers: Sequence[str]
    """Whose each order is, in the order of the ranges."""
    detail: str | None = None
    traces: Mapping[str, str] = {}
    """What orders serve, by their ids; of those that say so."""
    products: Mapping[str, tuple[int, int]] = {}
    """Of new orders: in how many each product stands, and how many units of it."""
    waiting: Mapping[int, int] = {}
    """Of orders that are done: times from receipt to start, by bucket (`shared.domain.quantiles`)."""
    processing: Mapping[int, int] = {}
    """Of orders that are done: times from start to end."""

    @property
    def orders(self) -> int:
        """Number of orders."""
        return len(self.customers)


class OrderEvents(NamedTuple):
    """Some changes in their order, and the position behind them."""

    events: list[OrderStateChange]
    position: str
    restarted: bool = False
    """The position was of another store, or of a time that was undone: these are the first events of all."""
    totals: Mapping[State | None, int] | None = None
    """Where events behind the position are not kept any more: how many orders there are in each state, and in all
    (None), of which these are the next events."""


class OrderFeed(Protocol):
    """Follows the orders of a store."""

    async def read_events(self, after: str | None, *, limit: int) -> OrderEvents | None:
        """What happened after a position, about `limit` events of single orders; None is from the very first on.

        Gives None where there is no store yet. Raises StoreError.
        """

    def close(self) -> None:
        """Releases the store."""


class RecordFeed(Protocol):
    """Follows the records of a store."""

    async def read_changes(self, after: str | None, *, limit: int) -> Changes | None:
        """What was changed after a position; None is from the very first change on.

        Gives None where there is no store yet. Raises Gone where changes behind the position are not kept any
        more, or the position is not one of this store; and StoreError.
        """

    async def newest_position(self) -> str:
        """The position behind everything that was written before this call."""

    def read_items(self, table: Table) -> AsyncIterator[list[Record]]:
        """The items of a table, page by page, each as it was at some time since the call."""

    async def close(self) -> None:
        """Releases the store."""
