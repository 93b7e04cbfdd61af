"""The bound on open orders, and estimates from the measured rate of completion.

`OrderLifecycle` alone counts here. Room is reserved while the store is asked, and the count goes up before an order's
answer and down after its final state is committed: accepted orders that are not final never exceed the bound.
"""

import math

_MEMORY_SECONDS = 5.0
_MIN_RETRY_MS = 10
_MAX_RETRY_MS = 60_000
_UNKNOWN_RETRY_MS = 1000
# What an order is taken to last until it is measured.
_GUESSED_SECONDS = 1.0


class _Meter:
    """A rate, as sums that fade with time, over the time in which it is on."""

    def __init__(self) -> None:
        self._orders = 0.0
        self._seconds = 0.0
        self._mark: float | None = None

    def on(self, now: float) -> None:
        """Time counts from here."""
        if self._mark is None:
            self._mark = now

    def count(self, orders: int, now: float, *, on: bool) -> None:
        """So many orders, if it was on; and whether time counts on."""
        if self._mark is not None:
            elapsed = max(now - self._mark, 0.0)
            fade = math.exp(-elapsed / _MEMORY_SECONDS)
            self._orders = self._orders * fade + orders
            self._seconds = self._seconds * fade + elapsed
            self._mark = now if on else None

    def rate(self) -> float | None:
        """Orders per second; None when not measured yet."""
        return self._orders / self._seconds if self._seconds > 0 and self._orders > 0 else None


class Admission:
    """Counts open orders against `limit`, where `places` of them can be at work at a time.

    `now` is seconds of a clock that never goes back.
    """

    def __init__(self, limit: int, places: int) -> None:
        self.limit = limit
        self.open = 0
        self._reserved = 0
        self.places = places
        # How fast orders leave can be told only while there are enough of them.
        self._enough = min(places, limit)
        self._finished = _Meter()
        self._drained = _Meter()
        self._promised = 0.0

    @property
    def room(self) -> int:
        """The number of orders that can still be accepted."""
        return max(self.limit - self.open - self._reserved, 0)

    def reserve(self, orders: int) -> int:
        """Keeps room for orders that the store is asked to make open; returns for how many there is room."""
        room = self.limit - self.open - self._reserved
        reserved = orders if orders <= room else max(room, 0)
        self._reserved += reserved
        return reserved

    def release(self, orders: int) -> None:
        """Gives reserved room back, once the store has answered."""
        self._reserved -= orders

    def admit(self, orders: int, now: float) -> None:
        """Counts orders that are open now."""
        self.open += orders
        self._finished.on(now)
        if self.open >= self._enough:
            self._drained.on(now)

    def release_open(self, orders: int, now: float) -> None:
        """Counts open orders that have reached a final state."""
        self.open -= orders
        self._finished.count(orders, now, on=self.open > 0)
        self._drained.count(orders, now, on=self.open >= self._enough)

    def rate(self) -> float | None:
        """Orders that reach a final state per second while there are any; None when not measured yet."""
        return self._finished.rate()

    def retry_after_ms(self, now: float) -> int:
        """When to come back, for a client that found no room.

        Places that will become free are promised one by one, so that clients that wait as told find one
        each instead of all coming back for the same.
        """
        rate = self._drained.rate()
        if rate is None:
            return _UNKNOWN_RETRY_MS
        latest = now + _MAX_RETRY_MS / 1000
        self._promised = min(max(self._promised, now) + 1 / rate, latest)
        return max(math.ceil((self._promised - now) * 1000), _MIN_RETRY_MS)

    def per_order_ms(self) -> float:
        """By how much one waiting order makes those behind it wait."""
        return 1000 / (self._drained.rate() or self.places / _GUESSED_SECONDS)
