"""Exponential back-off with one warning for each series of failures."""

import asyncio

import structlog

from shared.domain.errors import ComandaError

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0


class RetryBackoff:
    """The delays of one kind of `work` that is retried; the log names it."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._delay = 0.0
        """The last delay in seconds; 0 after a success."""
        self._log = structlog.get_logger()

    def reset(self) -> None:
        """Ends the series of failures."""
        self._delay = 0.0

    async def wait_after_error(self, error: ComandaError) -> None:
        """Waits until the next attempt, up to 30 seconds. Logs the first failure of a series."""
        if not self._delay:
            self._log.warning("work_postponed", work=self._work, reason=error.message)
        self._delay = min(max(self._delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
        await asyncio.sleep(self._delay)
