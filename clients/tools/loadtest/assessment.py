"""Assesses a run: whether the server held, and which part limited the rate."""

from clients.tools.loadtest.measurements import TEMPORARY
from clients.tools.loadtest.results import LoadTestResult
from clients.tools.loadtest.verification import ProcessingStats

ERROR_LISTS = ("lost", "doubled", "changed", "unfinished")
"""The lists of a verification that have to be empty."""

# A rate that is nearly reached counts as reached: the last orders of a run are answered after its end.
_REACHED = 0.95
_BUSY_CLIENT = 0.9
# In a shorter run, the start of the load test takes longer than its orders.
_SHORTEST_SECONDS = 0.1


def explain_outcome(result: LoadTestResult) -> str:
    """Returns the reason why the server held or did not hold, in one line."""
    verdict = result.verdict
    if not result.passed:
        refused = sum(number for code, number in result.refused.items() if code not in TEMPORARY)
        counts = [(refused, "finally refused"), (result.unknown, "with an unknown outcome")]
        if verdict is not None:
            counts += [(len(getattr(verdict, name)), name) for name in ERROR_LISTS]
        found = ", ".join(f"{number:,} {kind}" for number, kind in counts if number)
        return f"{found or 'no order was accepted'} (exit status 1)"
    if verdict is None:
        line = f"{result.accepted:,} orders were accepted; --verify looks each of them up"
    else:
        line = f"{verdict.checked:,} orders are stored once, unchanged and listo"
    if result.given_up:
        line += f"; {result.given_up:,} more were refused for lack of room and are not stored"
    return line


def find_bottleneck(result: LoadTestResult) -> str:
    """Returns the part that kept the run from accepting more orders a second."""
    if result.refused.get("queue_full"):
        return (
            "the handler: orders arrived faster than it processes them, until the queue was full. The stand-in handler "
            "processes 2,000 a second; PROCESSING_SECONDS=0 removes its wait"
        )
    if result.seconds < _SHORTEST_SECONDS:
        return "no limit that such a short run could show"
    if result.client_cpu >= _BUSY_CLIENT:
        return "the load test itself, which used a whole core"
    if result.asked_rate and result.rate >= _REACHED * result.asked_rate:
        return "the requested rate"
    return "the server"


def describe_processing(work: ProcessingStats) -> str:
    """Returns the duration and the rate of the processing after the last answer."""
    rate = f", up to {work.rate:,.0f} orders/s" if work.rate else ""
    return f"{work.seconds:.1f} s later{rate}, {work.handler_ms:,.0f} ms each in the handler"
