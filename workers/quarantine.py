"""The quarantine: orders whose workers keep dying, apart from all others.

One of them may be what kills the workers: a handler that runs out of memory, or a library that crashes. A
first death proves nothing, since workers are killed from outside, too. From the second on, such orders are
worked off by a worker that has nothing else, in groups that shrink to a quarter with each further death.
So the guilty one is soon alone, and the others are done.
"""

from collections import deque

from workers.entry_index import Entry, EntryIndex, Waiting

_SUSPICIOUS = 2


class _Suspect(Entry):
    """An entry with the number of workers that died while they had its orders."""

    __slots__ = ("rescues",)

    def __init__(self, waiting: Waiting, rescues: int) -> None:
        super().__init__(waiting)
        self.rescues = rescues


class Quarantine:
    """Ranges of suspect orders with the number of workers that died."""

    def __init__(self) -> None:
        self._suspects: deque[_Suspect] = deque()
        self._index: EntryIndex[_Suspect] = EntryIndex()
        self._size = 0

    def __len__(self) -> int:
        """Number of orders in it."""
        return self._size

    def is_suspect(self, rescues: int) -> bool:
        """Whether orders with this number of dead workers belong here."""
        return rescues >= _SUSPICIOUS

    def put(self, waiting: Waiting, rescues: int) -> None:
        """Adds a range."""
        suspect = _Suspect(waiting, rescues)
        self._index.add(suspect)
        self._suspects.append(suspect)
        self._size += waiting.orders.count

    def take(self, limit: int) -> list[Waiting]:
        """Removes a group of at most `limit` orders for one worker; the more suspect, the smaller."""
        group: list[Waiting] = []
        room = limit
        while self._suspects:
            suspect = self._suspects[0]
            waiting = suspect.waiting
            if waiting is None:
                self._suspects.popleft()
                continue
            room = min(room, max(limit >> 2 * (suspect.rescues - 1), 1) - sum(entry.orders.count for entry in group))
            if room <= 0:
                break
            if waiting.orders.count > room:
                waiting, suspect.waiting = waiting.cut(room)
            else:
                self._suspects.popleft()
                self._index.remove(suspect)
            group.append(waiting)
            room -= waiting.orders.count
            self._size -= waiting.orders.count
        return group

    def find(self, sequence: int) -> Waiting | None:
        """Returns the range in which an order waits."""
        suspect = self._index.find(sequence)
        return None if suspect is None else suspect.waiting

    def ranges(self) -> list[tuple[int, int]]:
        """Returns ranges of sequences, first and stop, outside of which no order waits here."""
        return self._index.ranges()

    def remove(self, sequence: int) -> bool:
        """Removes one order; returns False if it does not wait here. Later orders of its range move to the end."""
        suspect = self._index.find(sequence)
        if suspect is None:
            return False
        behind = self._index.cut_out(suspect, sequence)
        self._size -= 1
        if behind is not None:
            self._size -= behind.orders.count
            self.put(behind, suspect.rescues)
        return True
