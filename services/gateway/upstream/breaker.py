"""A circuit breaker: after repeated failures, requests to a server fail at once instead of waiting for it.

After Michael Nygard, Release It!: closed, everything passes; open, nothing does; after a pause one trial decides.
"""

import enum
from collections.abc import Callable

from shared.runtime.backoff import Backoff

_FAILURES = 5
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class BreakerState(enum.StrEnum):
    """States of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"


class Breaker:
    """The breaker of one server; `clock` gives seconds.

    Five failures in a row open it, for half a second; each trial that fails doubles that, up to five seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._until = 0.0
        self.state = BreakerState.CLOSED

    def seconds_until_trial(self) -> float:
        """Returns the seconds to wait; 0 to go on. The caller of a trial has to record its outcome."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        left = self._until - self._clock()
        if left > 0:
            return left
        # Whoever comes while the trial is on waits for its outcome, and for no longer than one more pause.
        self.state = BreakerState.TRIAL
        self._until = self._clock() + self._backoff.delay
        return 0.0

    def record_success(self) -> None:
        """Records a response."""
        if self.state is BreakerState.CLOSED and not self._failures:
            return
        self.state = BreakerState.CLOSED
        self._failures = 0
        self._backoff.reset()

    def record_failure(self) -> None:
        """Records a failure: no response, or one with an error of the server itself."""
        self._failures += 1
        if self.state is BreakerState.TRIAL:
            self._backoff.increase()
        elif self._failures < _FAILURES or self.state is BreakerState.OPEN:
            return
        self.state = BreakerState.OPEN
        self._until = self._clock() + self._backoff.delay
