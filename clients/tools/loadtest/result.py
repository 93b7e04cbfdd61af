"""The result of a load test as a value: written as JSON, read again as the baseline of another run."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.loadtest.measure import QUANTILES, Measure, Timeline
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.verify import Verdict
from shared.domain.quantiles import Quantiles


class Course(Struct, frozen=True):
    """How the run went over time: one entry a stretch of `seconds`; latencies are milliseconds."""

    seconds: float
    rate: list[float]
    p50: list[float | None]
    p99: list[float | None]


class Result(Struct, frozen=True):
    """What one run found; times are seconds but for latencies, which are milliseconds."""

    sent: int
    accepted: int
    seconds: float
    rate: float
    """Accepted orders a second."""
    asked_rate: float | None
    """What `--rate` asked for."""
    connections: int
    pipeline: int
    refused: Mapping[str, int]
    given_up: int
    unknown: int
    duplicates: int
    reconnections: int
    killed: int
    """Workers that `--chaos` killed."""
    client_cpu: float
    """The load test's own use of the processor, as a share of one core."""
    latency_ms: Mapping[str, float]
    course: Course
    verdict: Verdict | None
    passed: bool


def conclude(
    plan: Plan, measure: Measure, verdict: Verdict | None, *, seconds: float, cpu_seconds: float, killed: int
) -> Result:
    """What a run that took `seconds` has found."""
    return Result(
        sent=measure.sent,
        accepted=measure.accepted,
        seconds=round(seconds, 3),
        rate=round(measure.accepted / seconds, 1),
        asked_rate=plan.rate,
        connections=plan.connections,
        pipeline=plan.pipeline,
        refused=dict(measure.refused),
        given_up=measure.given_up,
        unknown=measure.unknown,
        duplicates=measure.duplicates,
        reconnections=measure.reconnections,
        killed=killed,
        client_cpu=round(cpu_seconds / seconds, 3),
        latency_ms={name: round(value, 3) for name, value in measure.latency_ms()},
        course=_course(measure.timeline, seconds),
        verdict=verdict,
        # What was refused for good, or is unknown, was not accepted; what is wrong in the store is worse.
        passed=measure.accepted > 0
        and not measure.rejected
        and not measure.unknown
        and (verdict is None or verdict.passed),
    )


def read_result(file: Path) -> Result:
    """The result that another run has written with `--json`. Raises ClientError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Result)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientError(
            f"{file} is no result of a load test: {error}", hint="write one with: loadtest --json > FILE.json"
        ) from None


def _course(timeline: Timeline, seconds: float) -> Course:
    slices = timeline.slices
    # The last one may have been cut short; little can be told from less than half of one.
    last = seconds - timeline.seconds * (len(slices) - 1)
    if len(slices) > 1 and last < timeline.seconds / 2:
        slices = slices[:-1]
        last = timeline.seconds
    lengths = [*[timeline.seconds] * (len(slices) - 1), last]
    return Course(
        seconds=timeline.seconds,
        rate=[round(one.accepted / length, 1) for one, length in zip(slices, lengths, strict=False)],
        p50=[_ms(one.latency, QUANTILES[0]) for one in slices],
        p99=[_ms(one.latency, QUANTILES[2]) for one in slices],
    )


def _ms(latency: Quantiles, share: float) -> float | None:
    value = latency.estimate_quantile(share)
    return None if value is None else round(value / 1000, 3)
