"""The bound on open orders, and estimates that rest on the measured rate of finishing.

The count goes up before an order's answer and down after its final state is committed, so the number of
accepted orders that are not final never exceeds the bound.
"""

import math

_MEMORY_SECONDS = 5.0
_MIN_RETRY_MS = 10
_MAX_RETRY_MS = 60_000
_UNKNOWN_RETRY_MS = 1000


class Admission:
    """Counts open orders against `limit`; `now` is seconds of a clock that never goes back."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0
        self._settled = 0.0
        self._seconds = 0.0
        self._mark: float | None = None
        self._promised = 0.0

    @property
    def room(self) -> int:
        """How many more orders can be accepted."""
        return max(self.limit - self.open, 0)

    def admit(self, orders: int, now: float) -> None:
        """So many orders were accepted."""
        if self._mark is None:
            self._mark = now
        self.open += orders

    def settle(self, orders: int, now: float) -> None:
        """So many orders reached a final state."""
        self.open -= orders
        if self._mark is not None:
            # Sums that fade with time, over the time in which there was something to finish.
            elapsed = max(now - self._mark, 0.0)
            fade = math.exp(-elapsed / _MEMORY_SECONDS)
            self._settled = self._settled * fade + orders
            self._seconds = self._seconds * fade + elapsed
            self._mark = now if self.open > 0 else None

    def rate(self) -> float | None:
        """Orders that reach a final state per second while there are any; None when not measured yet."""
        return self._settled / self._seconds if self._seconds > 0 and self._settled > 0 else None

    def retry_after_ms(self, now: float) -> int:
        """When to come back, for a client that found no room.

        Places that will become free are promised one by one, so that clients that wait as told find one
        each instead of all coming back for the same.
        """
        rate = self.rate()
        if rate is None:
            return _UNKNOWN_RETRY_MS
        latest = now + _MAX_RETRY_MS / 1000
        self._promised = min(max(self._promised, now) + 1 / rate, latest)
        return max(math.ceil((self._promised - now) * 1000), _MIN_RETRY_MS)

    def wait_ms(self, ahead: int) -> float:
        """How long an order waits until it starts, with `ahead` orders waiting before it."""
        rate = self.rate()
        if ahead <= 0:
            return 0.0
        return ahead / rate * 1000 if rate else float(_UNKNOWN_RETRY_MS)
