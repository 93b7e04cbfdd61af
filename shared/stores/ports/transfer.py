"""What a store gives and takes when everything is moved to another: as it is, in an order that can be gone on from.

A store that gives or takes must not be in use. What is taken twice is there once, so that a move that was
interrupted goes on from where it was known to be.
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
    """The failed attempts at it that are kept."""


class TransferredItem(NamedTuple):
    """One item of a table as it is stored."""

    table: str
    partition: str
    sort: str
    record: Record


class TransferredRow(NamedTuple):
    """One row of what a store holds beside orders and items: values of JSON, under the name of their table."""

    table: str
    values: list[Any]


ITEM_SUM = "sum of items"
"""The table of one row: the checksum of all items that the feed has, when the rest was read.

It is no part of checksums itself.
"""

ItemPlace = tuple[str, str, str]
"""The table and the keys of an item."""


class OrderTransfer(Protocol):
    """The orders of a store."""

    async def read_node(self) -> int | None:
        """The store's name in ids; None where there is no order yet."""

    async def read_orders(self, after: int, limit: int) -> list[TransferredOrder]:
        """Orders with a larger sequence, in ascending order."""

    async def write_orders(self, orders: Sequence[TransferredOrder]) -> None:
        """Stores orders, in ascending order."""

    async def last_given(self) -> int:
        """The largest sequence that may have been given, also to an order that is not there any more."""

    async def finish_transfer(self, node: int, last: int) -> None:
        """Everything is there: the store is to be used as if it had accepted it itself.

        No sequence up to `last` may be given again.
        """


class ItemTransfer(Protocol):
    """The items of a store."""

    async def is_empty(self) -> bool:
        """Whether nothing is there but what a server makes when it starts."""

    async def read_items(self, after: ItemPlace | None, limit: int) -> tuple[list[TransferredItem], ItemPlace | None]:
        """Items behind a place, and the place behind them; None at the end."""

    async def write_items(self, items: Sequence[TransferredItem]) -> None:
        """Stores items, without telling of them in the feed where the store can be told so."""


class CarriedTransfer(Protocol):
    """What a store holds beside orders and items: statistics, ranking, notifications, events, the change feed.

    A store that has no use for it keeps it for the way back.
    """

    async def is_empty(self) -> bool:
        """Whether nothing is there but what a server makes when it starts."""

    def read_pages(self) -> AsyncIterator[list[TransferredRow]]:
        """Yields all of it, each time in the same pages."""

    async def write_page(self, page: int, rows: Sequence[TransferredRow]) -> None:
        """Stores the page of this number; what is taken twice is there once."""

    async def finish_transfer(self, node: int | None, item_sum: int) -> None:
        """Everything is there, orders and items too: makes it fit for use, whatever was changed since it was given.

        `node` is the name of the orders' store, None where there are no orders; `item_sum` the checksum of
        the items that the feed has.
        """
