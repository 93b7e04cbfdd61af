"""The orders that wait, in the order in which they are to be begun.

Runs of orders, not single ones: a million waiting orders of a few thousand commits are a few thousand
entries. Each level is first in, first out; between levels the head that has waited longest wins, where a
lower level has to have waited `ageing_seconds` longer for each step down. So a low order is passed by
high ones for a bounded time only.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from itertools import count
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
        self._levels: dict[Priority, deque[Waiting]] = {level: deque() for level in _LEVELS}
        self._delayed: list[tuple[int, int, Waiting]] = []
        self._tie = count()
        self._size = 0

    def __len__(self) -> int:
        """Number of orders that wait, delayed ones included."""
        return self._size

    def put(self, waiting: Waiting, *, due: int | None = None, first: bool = False) -> None:
        """Adds a run, to be begun from `due` on; `first` puts it ahead of its level."""
        self._size += waiting.run.count
        if due is not None:
            heapq.heappush(self._delayed, (due, next(self._tie), waiting))
        elif first:
            self._levels[waiting.priority].appendleft(waiting)
        else:
            self._levels[waiting.priority].append(waiting)

    def next_due(self) -> int | None:
        """When the first of the delayed orders may be begun."""
        return self._delayed[0][0] if self._delayed else None

    def take(self, limit: int, now: int) -> list[Waiting]:
        """Removes up to `limit` orders that may be begun at `now`, most urgent first."""
        while self._delayed and self._delayed[0][0] <= now:
            waiting = heapq.heappop(self._delayed)[2]
            self._levels[waiting.priority].append(waiting)
        taken: list[Waiting] = []
        while limit > 0 and (level := self._most_urgent()) is not None:
            head = level.popleft()
            if head.run.count > limit:
                head, rest = head.cut(limit)
                level.appendleft(rest)
            taken.append(head)
            limit -= head.run.count
            self._size -= head.run.count
        return taken

    def _most_urgent(self) -> deque[Waiting] | None:
        best: deque[Waiting] | None = None
        best_rank = 0
        for steps, level in enumerate(self._levels.values()):
            if level:
                rank = level[0].run.received + steps * self._handicap
                if best is None or rank < best_rank:
                    best, best_rank = level, rank
        return best

    def find(self, sequence: int) -> Waiting | None:
        """The entry that holds an order; looks at all of them."""
        return next((entry for entry in self._entries() if 0 <= sequence - entry.run.first < entry.run.count), None)

    def _entries(self) -> Iterator[Waiting]:
        for level in self._levels.values():
            yield from level
        for _, _, waiting in self._delayed:
            yield waiting
