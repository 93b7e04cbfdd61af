"""A cache of the items that were used last. The owner of a file is its only writer, so its cache is always current."""

from typing import NamedTuple

from shared.domain.records import Record

Place = tuple[str, str, str]
"""The table, the partition and the sort key of an item."""

# Of many large items few would be used again, and each would displace hundreds of small ones.
_MAX_CHARACTERS = 16_384
# The objects of an item take about as much beside their texts.
_OVERHEAD_BYTES = 512


class CachedItem(NamedTuple):
    """A record, and the stored text of its item."""

    record: Record
    document: str


class ItemCache:
    """Items by their places. Their texts take at most `max_bytes`; those that were not used for longest leave first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._items: dict[Place, CachedItem] = {}
        """The one that was used last stands at the end."""

    def get(self, place: Place) -> CachedItem | None:
        """Returns an item, or None if it is not in the cache. Callers must not change it."""
        found = self._items.pop(place, None)
        if found is not None:
            self._items[place] = found
        return found

    def keep(self, place: Place, stored: CachedItem) -> None:
        """Keeps the committed state of an item."""
        self.forget(place)
        if len(stored.document) > _MAX_CHARACTERS:
            return
        self._items[place] = stored
        self._bytes += len(stored.document) + _OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            self.forget(next(iter(self._items)))

    def forget(self, place: Place) -> None:
        """Removes an item, if it is there."""
        found = self._items.pop(place, None)
        if found is not None:
            self._bytes -= len(found.document) + _OVERHEAD_BYTES

    def clear(self) -> None:
        """Removes all items."""
        self._items.clear()
        self._bytes = 0
