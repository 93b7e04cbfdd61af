"""Waiting orders as ranges, and an index that finds the range of an order in constant time."""

from typing import Generic, NamedTuple, TypeVar

from shared.domain.ids import OrderRange
from shared.domain.orders import Priority

# Sequences of one page of the index. A lookup scans one page; a range of n orders is entered in n / 64 pages.
_PAGE_BITS = 6
# Pages of one range where ranges are told: 4,096 sequences.
_BLOCK_PAGE_BITS = 6


class Waiting(NamedTuple):
    """A range that waits for an attempt; `attempt` counts the previous ones, `stored` is in microseconds."""

    orders: OrderRange
    attempt: int
    priority: Priority
    stored: int

    def cut(self, count: int) -> tuple["Waiting", "Waiting"]:
        """The first `count` orders, and the rest."""
        head, rest = self.orders.split(count)
        return self._replace(orders=head), self._replace(orders=rest)


class Entry:
    """A place in a queue. `waiting` is None after all its orders were taken or removed."""

    __slots__ = ("first", "waiting")

    def __init__(self, waiting: Waiting) -> None:
        self.waiting: Waiting | None = waiting
        self.first = waiting.orders.first
        """First sequence of its pages in the index: `waiting` may have lost orders at its head since then."""


E = TypeVar("E", bound=Entry)


class EntryIndex(Generic[E]):
    """Entries by the sequences that they hold."""

    def __init__(self) -> None:
        self._pages: dict[int, set[E]] = {}

    def add(self, entry: E) -> None:
        """Adds an entry whose orders are not in the index yet."""
        pages = self._pages
        page, last = _page_range(entry)
        while page <= last:
            entries = pages.get(page)
            if entries is None:
                pages[page] = {entry}
            else:
                entries.add(entry)
            page += 1

    def remove(self, entry: E) -> None:
        """Removes an entry, which may have lost orders at its head, but none at its end."""
        pages = self._pages
        page, last = _page_range(entry)
        while page <= last:
            entries = pages[page]
            if len(entries) == 1:
                del pages[page]
            else:
                entries.remove(entry)
            page += 1

    def find(self, sequence: int) -> E | None:
        """Returns the entry that holds an order."""
        for entry in self._pages.get(sequence >> _PAGE_BITS, ()):
            if entry.waiting is not None and 0 <= sequence - entry.waiting.orders.first < entry.waiting.orders.count:
                return entry
        return None

    def ranges(self) -> list[tuple[int, int]]:
        """Returns ranges of sequences, first and stop, that cover all entries and more."""
        blocks = {page >> _BLOCK_PAGE_BITS for page in self._pages}
        bits = _PAGE_BITS + _BLOCK_PAGE_BITS
        return [(block << bits, (block + 1) << bits) for block in blocks]

    def cut_out(self, entry: E, sequence: int) -> Waiting | None:
        """Removes one order from its entry, which keeps those before it; returns those behind it.

        The entry leaves the index with its last order.
        """
        assert entry.waiting is not None
        self.remove(entry)
        before, rest = entry.waiting.cut(sequence - entry.waiting.orders.first)
        entry.waiting = None
        if before.orders.count:
            entry.waiting, entry.first = before, before.orders.first
            self.add(entry)
        behind = rest.cut(1)[1]
        return behind if behind.orders.count else None


def _page_range(entry: Entry) -> tuple[int, int]:
    """Returns the first and the last page of an entry that is not empty."""
    assert entry.waiting is not None
    order_range = entry.waiting.orders
    return entry.first >> _PAGE_BITS, (order_range.stop - 1) >> _PAGE_BITS
