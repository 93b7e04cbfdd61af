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
    """The customer of each order, in the order of the ranges."""
    detail: str | None = None
    traces: Mapping[str, str] = {}
    """Traces by order id, for orders that have one."""
    products: Mapping[str, tuple[int, int]] = {}
    """For new orders: number of orders and of units by product."""
    waiting: Mapping[int, int] = {}
    """For finished orders: times from receipt to start, by bucket (`shared.domain.quantiles`)."""
    processing: Mapping[int, int] = {}
    """For finished orders: times from start to end."""

    @property
    def orders(self) -> int:
        """Number of orders."""
        return len(self.customers)


class OrderEvents(NamedTuple):
    """Some changes in their order, and the position behind them."""

    events: list[OrderStateChange]
    position: str
    restarted: bool = False
    """True if the position was of another store or era: the events are the first of the store."""
    totals: Mapping[State | None, int] | None = None
    """Set if events after the position were deleted: the number of orders in each state and in total (None), which the
    events continue."""


class OrderFeed(Protocol):
    """Follows the orders of a store."""

    async def read_events(self, after: str | None, *, limit: int) -> OrderEvents | None:
        """Returns events after a position, about `limit` of them; None means from the first event on.

        Returns None if there is no store yet. Raises StoreError.
        """

    def close(self) -> None:
        """Releases the store."""


class RecordFeed(Protocol):
    """Follows the records of a store."""

    async def read_changes(self, after: str | None, *, limit: int) -> Changes | None:
        """Returns changes after a position; None means from the first change on.

        Returns None if there is no store yet. Raises Gone if changes after the position were deleted or the position is
        of another store, and StoreError.
        """

    async def newest_position(self) -> str:
        """Returns the position after all writes before this call."""

    def read_items(self, table: Table) -> AsyncIterator[list[Record]]:
        """Yields the items of a table in pages; each item is from a time after the call."""

    async def close(self) -> None:
        """Releases the store."""
