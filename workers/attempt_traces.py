"""Records attempts in the log and in traces, under the trace that each order carries."""

import time

import structlog
from msgspec import UNSET

from shared.runtime.traces import Traces
from workers.handlers import Handler, Job


def trace_attempts(handler: Handler, worker: str, traces: Traces | None) -> Handler:
    """Returns a handler that records each attempt at an order with a trace when the attempt has ended."""
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
                log.debug("attempt_ended", order=job.id, attempt=job.attempt, outcome=outcome, trace=trace)
                if traces is not None:
                    members = {"order": job.id, "attempt": job.attempt, "outcome": outcome, "worker": worker}
                    traces.record_span("order.attempt", trace, seconds=time.monotonic() - began, **members)

    return attempt
