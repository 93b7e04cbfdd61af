"""Exponential back-off with one warning for each series of failures."""

import asyncio

import structlog

from shared.domain.errors import ComandaError
from shared.runtime.backoff import Backoff

LONGEST_RETRY_SECONDS = 30.0
"""The default of the longest delay, in seconds."""
_FIRST_DELAY = 1.0


class RetryBackoff:
    """The delays of one kind of `work` that is retried; the log names it."""

    def __init__(self, work: str, longest_seconds: float) -> None:
        self._work = work
        self._backoff = Backoff(min(_FIRST_DELAY, longest_seconds), longest_seconds)
        self._failed = False
        self._log = structlog.get_logger()

    def reset(self) -> None:
        """Ends the series of failures."""
        self._backoff.reset()
        self._failed = False

    async def wait_after_error(self, error: ComandaError) -> None:
        """Waits until the next attempt, up to `longest_seconds`. Logs the first failure of a series."""
        if not self._failed:
            self._log.warning("work_postponed", work=self._work, reason=error.message)
        self._failed = True
        await asyncio.sleep(self._backoff.next_delay())
