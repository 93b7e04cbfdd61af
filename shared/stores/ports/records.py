"""The port of the record stores. All adapters pass the same contract tests.

A call that returned is durable. Adapters raise StoreError when the database refuses. Then the call has changed
nothing, or the message says that the outcome is unknown (with a database behind a network).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from shared.domain.errors import ComandaError
from shared.domain.records import Key, Record, Transaction, Value, Written

KEEP_SECONDS = 24 * 60 * 60
"""Retention of changes, the same as of DynamoDB Streams."""
STORE_TENANT = "main"
"""The tenant of a store's own items."""
PAGE_BYTES = 2**20 - 2**10
"""Maximum size of the items of a page, except that its first item may be larger; a whole reply fits a mebibyte."""
ITEM_BYTES = 40
"""Bytes of an item in a reply in addition to its members."""


class ItemLookup(NamedTuple):
    """A request for one item."""

    tenant: str
    table: str
    key: Key


class ItemPosition(NamedTuple):
    """The position of an item in a query: its keys, and its sort key in the index of the query."""

    partition: str
    sort: str
    index_sort: str = ""


class ReadRoom:
    """The bytes that the items of one or several reads may have together."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size


class RecordQuery(Struct, frozen=True):
    """A query for items of one partition of a table or an index, in the order of their sort key.

    Bounds are inclusive; `prefix` applies to sort keys that are text. A partition of a table without sort key has one
    item.
    """

    tenant: str
    table: str
    index: str | None = None
    partition: Value = None
    """None for an index over all items of a tenant."""
    prefix: str | None = None
    low: Value = None
    high: Value = None
    descending: bool = False
    limit: int = 50
    after: ItemPosition | None = None
    """The end of the previous page."""


class RecordPage(NamedTuple):
    """A page of records, and the position of the next page; None at the end."""

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
    """A page of changes, in order for each item, and the position after them."""

    changes: list[Change]
    position: str


class RecordStore(Protocol):
    """Tables of items.

    An item that has expired (`Table.expires`) is absent for reads, conditions and actions. The feed shows its removal
    when the store removes it, or before the insertion of another item with its key.
    """

    async def write(self, transactions: Sequence[Transaction]) -> list[list[Written] | ComandaError]:
        """Executes transactions in order; each takes effect or is refused as a whole.

        The outcome of each is the records before and after its actions, nothing if it `returns` none, or the Conflict
        or InvalidParams that refused it. A Conflict has the index of the refused action.
        """

    async def get(self, asks: Sequence[ItemLookup], *, room: ReadRoom | None = None) -> list[Record | None]:
        """Returns items by key, including all writes that have returned.

        With `room` it returns only the first items that fit, but at least one, and takes their size from it.
        """

    async def query(self, query: RecordQuery) -> RecordPage:
        """Returns a page of items. An index may lag slightly behind the table if the store is on another machine."""

    async def read_changes(self, after: str | None, *, limit: int = 1000) -> Changes:
        """Returns changes after a position, each once and in order for each item; None means from the oldest one on.

        Changes are kept for a day. Raises Gone for an older position.
        """

    async def newest_position(self) -> str:
        """The position behind everything that was written before this call."""

    async def tidy(self) -> None:
        """Deletes changes after their retention, and expired items; to be called periodically."""

    async def close(self) -> None:
        """Releases the store."""
