"""Ports for moving all data of a store to another one, in an order that allows resuming.

Neither store may be in use. Writes are idempotent, so an interrupted move can resume from its last known position.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol

from shared.domain.orders import FailedAttempt
from shared.domain.records import Record
from shared.stores.orders import OrderProgress


class TransferredOrder(NamedTuple):
    """One order as it is stored."""

    sequence: int
    received: int
    document: str
    row: OrderProgress
    attempts: Sequence[FailedAttempt] = ()
    """The kept failed attempts."""


class TransferredItem(NamedTuple):
    """One item of a table as it is stored."""

    table: str
    partition: str
    sort: str
    record: Record


class TransferredRow(NamedTuple):
    """One row of data other than orders and items: JSON values with the name of their table."""

    table: str
    values: list[Any]


ITEM_SUM = "sum of items"
"""The table with one row: the checksum of all items in the feed at the time when the other rows were read.

Checksums do not include it.
"""

ItemPlace = tuple[str, str, str]
"""The table and the keys of an item."""


class OrderTransfer(Protocol):
    """The orders of a store."""

    async def read_node(self) -> int | None:
        """Returns the store's name in ids; None if there are no orders."""

    async def read_orders(self, after: int, limit: int) -> list[TransferredOrder]:
        """Returns orders with a larger sequence, in ascending order."""

    async def write_orders(self, orders: Sequence[TransferredOrder]) -> None:
        """Stores orders, in ascending order."""

    async def last_given(self) -> int:
        """Returns the largest sequence that may have been assigned, including orders that no longer exist."""

    async def finish_transfer(self, node: int, last: int) -> None:
        """Completes the move: the store becomes usable as if it had accepted the orders itself.

        No sequence up to `last` may be assigned again.
        """


class ItemTransfer(Protocol):
    """The items of a store."""

    async def is_empty(self) -> bool:
        """Whether the store contains only data that a server creates at its start."""

    async def read_items(self, after: ItemPlace | None, limit: int) -> tuple[list[TransferredItem], ItemPlace | None]:
        """Returns items after a place, and the place after them; None at the end."""

    async def write_items(self, items: Sequence[TransferredItem]) -> None:
        """Stores items, without entries in the feed if the store supports that."""


class CarriedTransfer(Protocol):
    """Data other than orders and items: statistics, ranking, notifications, events, the change feed.

    A store that does not use the data keeps it for a move back.
    """

    async def is_empty(self) -> bool:
        """Whether the store contains only data that a server creates at its start."""

    def read_pages(self) -> AsyncIterator[list[TransferredRow]]:
        """Yields all data, in the same pages each time."""

    async def write_page(self, page: int, rows: Sequence[TransferredRow]) -> None:
        """Stores the page with this number; storing a page twice has no effect."""

    async def finish_transfer(self, node: int | None, item_sum: int) -> None:
        """Completes the move, after orders and items, and adapts the data to changes since it was read.

        `node` is the name of the order store, None if there are no orders; `item_sum` is the checksum of the items in
        the feed.
        """
