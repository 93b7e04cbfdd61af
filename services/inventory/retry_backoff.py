"""Exponential back-off with one warning for each series of failures."""

import asyncio

import structlog

from shared.domain.errors import ComandaError
from shared.runtime.backoff import Backoff

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0


class RetryBackoff:
    """The delays of one kind of `work` that is retried; the log names it."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        self._failed = False
        self._log = structlog.get_logger()

    def reset(self) -> None:
        """Ends the series of failures."""
        self._backoff.reset()
        self._failed = False

    async def wait_after_error(self, error: ComandaError) -> None:
        """Waits until the next attempt, up to 30 seconds. Logs the first failure of a series."""
        if not self._failed:
            self._log.warning("work_postponed", work=self._work, reason=error.message)
        self._failed = True
        await asyncio.sleep(self._backoff.next_delay())
