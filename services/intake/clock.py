"""The time at which orders are received: the clock of the machine, as long as it can be believed.

An idempotency key expires by the time of its order. A clock that jumps a year ahead would let every key expire at once,
and each retry would be stored as a second order; one that jumps back would do so on its way home.
"""

import time
from collections.abc import Callable

import structlog

# A clock that is wrong when the machine starts is set within this time, if ever.
_DOUBT_NANOSECONDS = 600 * 10**9
# A machine without a battery begins in 1970, and in no year that Comanda has seen.
_NEVER_SET = 1_577_836_800_000_000_000
# It counts while the machine sleeps, where there is such a clock: waking up is no jump.
_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_steady_clock() -> int:
    """Returns nanoseconds of a clock that nobody sets."""
    return time.clock_gettime_ns(_STEADY_CLOCK)


class ReceiptClock:
    """Follows the wall clock, but for jumps of more than half of `key_seconds`, the life of an idempotency key.

    After such a jump time goes on from before it, until the clock is back or the server starts again. Shorter jumps
    are followed: a key then lives at least half as long as it should. With 0 keys live for ever, and every jump is
    followed.

    A clock that is that far ahead of the `newest` order at the start (microseconds, 0 for none) may be wrong: for ten
    minutes a jump back is followed, too. In these no key expires (`RequestKeys.begin`).
    """

    def __init__(
        self,
        key_seconds: float,
        *,
        newest: int = 0,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = read_steady_clock,
    ) -> None:
        self._tolerance = round(key_seconds * 1e9 / 2)
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        doubted = bool(newest) and wall() - newest * 1000 > self._tolerance
        self._doubted_until = steady() + _DOUBT_NANOSECONDS if doubted else 0
        self._jumped = False
        self._log = structlog.get_logger()

    def now(self) -> int:
        """Returns microseconds since the epoch."""
        wall, steady = self._wall(), self._steady()
        expected = steady + self._offset
        jumped = 0 < self._tolerance < abs(wall - expected) and expected > _NEVER_SET
        if jumped and wall < expected and steady < self._doubted_until:
            self._log.warning("clock_set_back", seconds=round((expected - wall) / 1e9))
            jumped = False
        if jumped is not self._jumped:
            self._jumped = jumped
            if jumped:
                self._log.error(
                    "clock_jumped",
                    seconds=round((wall - expected) / 1e9),
                    hint="orders keep the time from before; set the clock right, or restart the intake if it is right",
                )
            else:
                self._log.info("clock_returned")
        if jumped:
            return expected // 1000
        self._offset = wall - steady
        return wall // 1000
