"""Waiting for servers that are away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from clients.errors import ClientError, Refused

T = TypeVar("T")

_PAUSE_SECONDS = 0.5
# Servers that are started together are not away.
_UNTOLD = 5
_FOR_GOOD = {"conflict", "gone", "invalid_params", "not_found", "too_large", "unknown_action"}


class Patience:
    """Asks until there is an answer. `who` is who waits, for the log, which has one entry for each time of waiting."""

    def __init__(self, who: str) -> None:
        self._waits = 0
        self._log = structlog.get_logger().bind(waiting=who)

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """What `question` gives, however long that takes. Raises Refused for what waiting does not mend."""
        while True:
            try:
                answer = await question()
            except ClientError as error:
                await self.wait(error)
            else:
                self.answered()
                return answer

    async def wait(self, error: ClientError) -> None:
        """Waits a little after an error. Raises it if it is one that waiting does not mend."""
        if isinstance(error, Refused) and error.error in _FOR_GOOD:
            raise error
        self._waits += 1
        if self._waits == _UNTOLD:
            self._log.warning("a server is away", reason=error.message)
        await asyncio.sleep(_PAUSE_SECONDS)

    def answered(self) -> None:
        """There was an answer."""
        self._waits = 0
