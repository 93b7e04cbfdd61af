"""The orders that wait, in the order in which they are to be begun.

Runs of orders, not single ones: a million waiting orders of a few thousand commits are a few thousand
entries. What could have begun first is begun first, where a lower level has to have waited
`ageing_seconds` longer for each step down. So a low order is passed by high ones for a bounded time only,
and one that has been put back, by a restart or a dead worker, has not lost its turn.
"""

import heapq
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from shared.domain.ids import Run
from shared.domain.orders import Priority

_LEVELS = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


class Waiting(NamedTuple):
    """A run that waits for an attempt; `attempt` counts those begun so far, `stored` is microseconds."""

    run: Run
    attempt: int
    priority: Priority
    stored: int

    def cut(self, count: int) -> tuple["Waiting", "Waiting"]:
        """The first `count` orders, and the rest."""
        run = self.run
        head = Run(run.received, run.node, run.first, count)
        rest = Run(run.received, run.node, run.first + count, run.count - count)
        return self._replace(run=head), self._replace(run=rest)


class Backlog:
    """Pure bookkeeping: the clock comes in as an argument, in microseconds since the epoch."""

    def __init__(self, ageing_seconds: float) -> None:
        self._handicap = round(ageing_seconds * 1_000_000)
        self._ready: list[tuple[int, int, Waiting]] = []
        self._delayed: list[tuple[int, int, Waiting]] = []
        self._size = 0

    def __len__(self) -> int:
        """Number of orders that wait, delayed ones included."""
        return self._size

    def put(self, waiting: Waiting, *, due: int | None = None) -> None:
        """Adds a run, to be begun from `due` on."""
        self._size += waiting.run.count
        if due is None:
            self._put_ready(waiting, waiting.run.received)
        else:
            heapq.heappush(self._delayed, (due, waiting.run.first, waiting))

    def _put_ready(self, waiting: Waiting, since: int) -> None:
        rank = since + _LEVELS.index(waiting.priority) * self._handicap
        heapq.heappush(self._ready, (rank, waiting.run.first, waiting))

    def next_due(self) -> int | None:
        """When the first of the delayed orders may be begun."""
        return self._delayed[0][0] if self._delayed else None

    def take(self, limit: int, now: int) -> list[Waiting]:
        """Removes up to `limit` orders that may be begun at `now`, most urgent first."""
        while self._delayed and self._delayed[0][0] <= now:
            due, _, waiting = heapq.heappop(self._delayed)
            self._put_ready(waiting, max(due, waiting.run.received))
        taken: list[Waiting] = []
        while limit > 0 and self._ready:
            rank, _, head = self._ready[0]
            if head.run.count > limit:
                head, rest = head.cut(limit)
                heapq.heapreplace(self._ready, (rank, rest.run.first, rest))
            else:
                heapq.heappop(self._ready)
            taken.append(head)
            limit -= head.run.count
            self._size -= head.run.count
        return taken

    def find(self, sequence: int) -> Waiting | None:
        """The entry that holds an order; looks at all of them."""
        return next((entry for entry in self._entries() if 0 <= sequence - entry.run.first < entry.run.count), None)

    def _entries(self) -> Iterator[Waiting]:
        for _, _, waiting in itertools.chain(self._ready, self._delayed):
            yield waiting
