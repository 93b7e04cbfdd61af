"""Attempts in the log and in traces, under the names of the requests that the orders came with."""

import time

import structlog
from msgspec import UNSET

from shared.runtime.traces import Traces
from workers.handlers import Handler, Job


def told(handler: Handler, worker: str, traces: Traces | None) -> Handler:
    """The handler, with each attempt at an order that has a trace told of when it has ended."""
    log = structlog.get_logger().bind(worker=worker)

    async def attempt(job: Job) -> None:
        began = time.monotonic()
        outcome = "done"
        try:
            await handler(job)
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            if (trace := job.request.trace) is not UNSET:
                log.debug("attempt ended", order=job.id, attempt=job.attempt, outcome=outcome, trace=trace)
                if traces is not None:
                    members = {"order": job.id, "attempt": job.attempt, "outcome": outcome, "worker": worker}
                    traces.span("order.attempt", trace, seconds=time.monotonic() - began, **members)

    return attempt
