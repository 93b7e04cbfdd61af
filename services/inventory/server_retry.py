"""Retries of requests while a server is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from clients.errors import ClientError, Refused

T = TypeVar("T")

_DELAY_SECONDS = 0.5
# Servers that start at the same time are not reported as unavailable.
_WARN_AFTER_FAILURES = 5
PERMANENT_ERRORS = {"conflict", "gone", "invalid_params", "not_found", "too_large", "unknown_action"}
"""Codes of errors that a retry cannot resolve."""


class ServerRetry:
    """Retries requests until they are answered.

    The log has one warning for each outage, in which `waiting` names the caller.
    """

    def __init__(self, waiting: str) -> None:
        self._failures = 0
        self._log = structlog.get_logger().bind(waiting=waiting)

    async def retry_until_answered(self, request: Callable[[], Awaitable[T]]) -> T:
        """Returns the result of `request`, however long that takes.

        Raises Refused for errors that a retry cannot resolve.
        """
        while True:
            try:
                answer = await request()
            except ClientError as error:
                await self.wait_after_error(error)
            else:
                self.record_answer()
                return answer

    async def wait_after_error(self, error: ClientError) -> None:
        """Waits before the next attempt. Raises the error if a retry cannot resolve it."""
        if isinstance(error, Refused) and error.error in PERMANENT_ERRORS:
            raise error
        self._failures += 1
        if self._failures == _WARN_AFTER_FAILURES:
            self._log.warning("server_unavailable", reason=error.message)
        await asyncio.sleep(_DELAY_SECONDS)

    def record_answer(self) -> None:
        """Ends the series of failures."""
        self._failures = 0
