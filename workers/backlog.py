"""The backlog: waiting orders, in the order in which they start.

Ranges of orders, not single ones: a million waiting orders of a few thousand commits are a few thousand
entries. What could have begun first is begun first, where a lower level has to have waited
`ageing_seconds` longer for each step down. So a low order is passed by high ones for a bounded time only,
and one that has been put back, by a restart or a dead worker, has not lost its turn.
"""

import heapq
import itertools

from shared.domain.orders import Priority
from workers.entry_index import Entry, EntryIndex, Waiting

_LEVELS = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
# So many empty entries are left in the heaps, and beyond that as many as there are others.
_SPARE_ENTRIES = 64
# Entries that the search for the oldest order looks at.
_SEARCHED_ENTRIES = 10_000


class _Ranked(Entry):
    """An entry of a heap; the lowest rank comes first."""

    __slots__ = ("heap", "rank")

    def __init__(self, waiting: Waiting, heap: "_Heap", rank: int) -> None:
        super().__init__(waiting)
        self.heap = heap
        self.rank = rank


_Heap = list[tuple[int, int, int, _Ranked]]
"""Rank, first sequence, and a unique number, so that entries themselves are never compared."""


class Backlog:
    """Pure bookkeeping: the time is an argument, in microseconds since the epoch.

    Orders that are removed leave empty entries in the heaps, which are swept out before they outnumber the others:
    memory follows the number of orders that wait.
    """

    def __init__(self, ageing_seconds: float) -> None:
        self._handicap = round(ageing_seconds * 1_000_000)
        self._ready: _Heap = []
        self._delayed: _Heap = []
        self._index: EntryIndex[_Ranked] = EntryIndex()
        self._numbers = itertools.count()
        self._size = 0
        self._empty = 0

    def __len__(self) -> int:
        """Number of waiting orders, including delayed ones."""
        return self._size

    def put(self, waiting: Waiting, *, due: int | None = None) -> None:
        """Adds a range, to start from `due` on."""
        if due is None:
            self._add_entry(_Ranked(waiting, self._ready, self._compute_rank(waiting, waiting.orders.received)))
        else:
            self._add_entry(_Ranked(waiting, self._delayed, due))
        self._size += waiting.orders.count

    def _add_entry(self, entry: _Ranked) -> None:
        self._index.add(entry)
        self._push_entry(entry)

    def _push_entry(self, entry: _Ranked) -> None:
        heapq.heappush(entry.heap, (entry.rank, entry.first, next(self._numbers), entry))

    def _compute_rank(self, waiting: Waiting, since: int) -> int:
        return since + _LEVELS.index(waiting.priority) * self._handicap

    def next_due(self) -> int | None:
        """Time at which the first delayed order may start."""
        while self._delayed and self._delayed[0][3].waiting is None:
            heapq.heappop(self._delayed)
            self._empty -= 1
        return self._delayed[0][0] if self._delayed else None

    def take(self, limit: int, now: int) -> list[Waiting]:
        """Removes up to `limit` orders that may start at `now`, the most urgent first."""
        while (due := self.next_due()) is not None and due <= now:
            entry = heapq.heappop(self._delayed)[3]
            assert entry.waiting is not None
            entry.heap = self._ready
            entry.rank = self._compute_rank(entry.waiting, max(due, entry.waiting.orders.received))
            self._push_entry(entry)
        taken: list[Waiting] = []
        ready = self._ready
        while limit > 0 and ready:
            rank, _, number, entry = ready[0]
            head = entry.waiting
            if head is None:
                heapq.heappop(ready)
                self._empty -= 1
                continue
            if head.orders.count > limit:
                head, rest = head.cut(limit)
                entry.waiting = rest
                heapq.heapreplace(ready, (rank, rest.orders.first, number, entry))
            else:
                heapq.heappop(ready)
                self._index.remove(entry)
            taken.append(head)
            limit -= head.orders.count
            self._size -= head.orders.count
        return taken

    def find(self, sequence: int) -> Waiting | None:
        """Returns the range in which an order waits."""
        entry = self._index.find(sequence)
        return None if entry is None else entry.waiting

    def find_oldest(self) -> Waiting | None:
        """Returns the range that was received first, among the first thousands of entries."""
        entries = itertools.islice(itertools.chain(self._ready, self._delayed), _SEARCHED_ENTRIES)
        waiting = [entry.waiting for *_, entry in entries if entry.waiting is not None]
        return min(waiting, key=lambda one: one.orders.received, default=None)

    def ranges(self) -> list[tuple[int, int]]:
        """Returns ranges of sequences, first and stop, outside of which no order waits here."""
        return self._index.ranges()

    def remove(self, sequence: int) -> bool:
        """Removes one order; returns False if it does not wait here."""
        entry = self._index.find(sequence)
        if entry is None:
            return False
        behind = self._index.cut_out(entry, sequence)
        if behind is not None:
            self._add_entry(_Ranked(behind, entry.heap, entry.rank))
        self._size -= 1
        if entry.waiting is None:
            self._empty += 1
            if self._empty > (len(self._ready) + len(self._delayed)) // 2 + _SPARE_ENTRIES:
                self._sweep_entries()
        return True

    def _sweep_entries(self) -> None:
        """Removes empty entries; a sweep costs as much as the removals since the previous one."""
        for heap in (self._ready, self._delayed):
            heap[:] = [item for item in heap if item[3].waiting is not None]
            heapq.heapify(heap)
        self._empty = 0
