"""Exponential back-off."""


class Backoff:
    """The delays between attempts: each is twice the one before, from `first` to `longest` seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.delay = first
        """The delay before the next attempt."""

    def next_delay(self) -> float:
        """Returns the delay before the next attempt, and doubles it for the one after."""
        delay = self.delay
        self.increase()
        return delay

    def increase(self) -> None:
        """Doubles the delay."""
        self.delay = min(self.delay * 2, self._longest)

    def reset(self) -> None:
        """Ends the series of failures: the next delay is the first one."""
        self.delay = self._first
