"""The log of requests. By default it has the failed and the slow ones: healthy traffic costs no disk space."""

from collections.abc import Callable
from typing import Any

import structlog

from services.gateway.settings import LogRequests
from shared.runtime.log_quota import LogQuota


class RequestLog:
    """The log of requests. `slow` takes those with a status from 500 on, or none, and those of `slow_seconds`."""

    def __init__(self, which: LogRequests, *, slow_seconds: float, clock: Callable[[], float]) -> None:
        self._all = which == "all"
        self._slow_seconds = slow_seconds
        self._quota = LogQuota(clock)
        self._log = structlog.get_logger().bind()

    def should_log(self, status: int, seconds: float, *, streamed: bool) -> bool:
        """Whether to log a request. An event stream that is open for long is not slow."""
        if self._all:
            return True
        return (status >= 500 or not status or (seconds >= self._slow_seconds and not streamed)) and self._quota.admit()

    def write(self, **values: Any) -> None:
        """Writes one request, and how many were left out before it."""
        self._log.info("request", **values, **self._quota.take_left_out())
