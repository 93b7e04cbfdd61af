"""Orders whose workers keep dying, kept apart from those that have nothing to do with it.

One of them may be what kills the workers: a handler that runs out of memory, or a library that crashes. A
first death proves nothing, since workers are killed from outside, too. From the second on, such orders are
worked off by a worker that has nothing else, in groups that shrink to a quarter with each further death.
So the guilty one is soon alone, and the others are done.
"""

from collections import deque

from workers.backlog import Waiting

_SUSPICIOUS = 2


class Quarantine:
    """Runs of suspect orders with the number of workers that died over them."""

    def __init__(self) -> None:
        self._suspects: deque[tuple[Waiting, int]] = deque()

    def __len__(self) -> int:
        """Number of orders in it."""
        return sum(waiting.run.count for waiting, _ in self._suspects)

    def wants(self, rescues: int) -> bool:
        """Whether orders with so many dead workers belong here."""
        return rescues >= _SUSPICIOUS

    def put(self, waiting: Waiting, rescues: int) -> None:
        """Adds a run."""
        self._suspects.append((waiting, rescues))

    def take(self, limit: int) -> list[Waiting]:
        """Removes a group for one worker, of at most `limit` orders, fewer the more suspect they are."""
        group: list[Waiting] = []
        room = limit
        while self._suspects:
            waiting, rescues = self._suspects[0]
            room = min(room, max(limit >> 2 * (rescues - 1), 1) - sum(entry.run.count for entry in group))
            if room <= 0:
                break
            self._suspects.popleft()
            if waiting.run.count > room:
                waiting, rest = waiting.cut(room)
                self._suspects.appendleft((rest, rescues))
            group.append(waiting)
            room -= waiting.run.count
        return group

    def find(self, sequence: int) -> Waiting | None:
        """The entry that holds an order."""
        return next((one for one, _ in self._suspects if 0 <= sequence - one.run.first < one.run.count), None)
