"""A limit for log entries that repeat for as long as a condition lasts, such as a full disk."""

import time
from collections.abc import Callable

_LINES = 20


class LogQuota:
    """Admits the first 20 entries of each second and counts the others: the first ones say why the rest fails."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def admit(self) -> bool:
        """Whether the next entry is to be logged."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= _LINES:
            return True
        self._left_out += 1
        return False

    def take_left_out(self) -> dict[str, int]:
        """Returns `left_out`, the number of entries left out before this one, as a value; nothing without any."""
        count, self._left_out = self._left_out, 0
        return {"left_out": count} if count else {}
