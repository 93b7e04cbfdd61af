"""What the suite asks of a store of records; every adapter passes one contract suite.

An answered call is durable. Adapters raise StoreError when the database refuses, and then nothing of the
call has happened, or, where a network lies between, it says that this is not known.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from shared.domain.errors import ComandaError
from shared.domain.records import Key, Record, Transaction, Value, Written

KEEP_SECONDS = 24 * 60 * 60
"""How long changes are kept: as long as DynamoDB Streams keep them."""
STORE_TENANT = "main"
"""Whose items those are that a store keeps for itself."""
PAGE_BYTES = 2**20 - 2**10
"""A page ends before the item that would make it larger, but not before its first; with the rest it is a mebibyte."""
ITEM_BYTES = 40
"""What an answer has for an item besides its members."""


class ItemLookup(NamedTuple):
    """One item to be read."""

    tenant: str
    table: str
    key: Key


class ItemPosition(NamedTuple):
    """An item's place in a query: its keys, and those of the index where it goes over one."""

    partition: str
    sort: str
    index_sort: str = ""


class RecordQuery(Struct, frozen=True):
    """Items of one partition of a table or an index, in the order of their sort key.

    Bounds are inclusive; `prefix` is for sort keys that are text. Of a table without a sort key a
    partition holds one item.
    """

    tenant: str
    table: str
    index: str | None = None
    partition: Value = None
    """None for an index over all items."""
    prefix: str | None = None
    low: Value = None
    high: Value = None
    descending: bool = False
    limit: int = 50
    after: ItemPosition | None = None
    """Where the page before ended."""


class RecordPage(NamedTuple):
    """Some records, and where the next page begins; None at the end."""

    records: list[Record]
    after: ItemPosition | None


class Change(NamedTuple):
    """One change of one item."""

    table: str
    tenant: str
    old: Record | None
    new: Record | None
    at: int
    """Microseconds since the epoch."""


class Changes(NamedTuple):
    """Some changes, in order for each item, and the position behind them."""

    changes: list[Change]
    position: str


class RecordStore(Protocol):
    """Tables of items."""

    async def write(self, transactions: Sequence[Transaction]) -> list[list[Written] | ComandaError]:
        """Does transactions in their order; each by itself takes effect, or is refused as a whole.

        The outcome of each is what its actions found and left, or the Conflict or InvalidParams that
        refused it.
        """

    async def get(self, asks: Sequence[ItemLookup], *, room: int | None = None) -> list[Record | None]:
        """Items by their keys, as the last answered write left them.

        With `room` only the first of them, as many as have so many bytes, and at least one.
        """

    async def query(self, query: RecordQuery) -> RecordPage:
        """A page of items. An index may be behind by a moment where the store is not on this machine."""

    async def read_changes(self, after: str | None, *, limit: int = 1000) -> Changes:
        """Every change after a position, once and in order for each item; None is the oldest that is kept.

        Changes are kept for a day. Raises Gone for a position that is older.
        """

    async def newest_position(self) -> str:
        """The position behind everything that was written before this call."""

    async def tidy(self) -> None:
        """Lets go of changes that need not be kept any longer; to be called now and then."""

    async def close(self) -> None:
        """Releases the store."""
