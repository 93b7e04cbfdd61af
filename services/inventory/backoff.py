"""Trying again: a longer pause after each failure in a row, and one word about all of them."""

import asyncio

import structlog

from shared.domain.errors import ComandaError

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class Backoff:
    """The pauses of one thing that is tried over and over. `what` begins the warning: "alerts" have to wait."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause = 0.0
        """How long the last pause was, in seconds; 0 while all is well."""
        self._log = structlog.get_logger()

    def succeeded(self) -> None:
        """The next failure is the first one again."""
        self._pause = 0.0

    async def failed(self, error: ComandaError) -> None:
        """Returns when it is to be tried again."""
        if not self._pause:
            self._log.warning(f"{self._what} have to wait; trying again", reason=error.message)
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        await asyncio.sleep(self._pause)
