"""The result of a load test: written as JSON, and read as the baseline of another run."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.loadtest.measurements import QUANTILES, Measurements, Timeline
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.verification import VerificationResult
from shared.domain.quantiles import Quantiles


class TimeSeries(Struct, frozen=True):
    """The run over time, with a value for each interval of `seconds`; latencies are milliseconds."""

    seconds: float
    rate: list[float]
    p50: list[float | None]
    p99: list[float | None]


class LoadTestResult(Struct, frozen=True):
    """The result of one run; times are seconds, and latencies milliseconds."""

    sent: int
    accepted: int
    seconds: float
    rate: float
    """Accepted orders a second."""
    asked_rate: float | None
    """The value of `--rate`."""
    connections: int
    pipeline: int
    refused: Mapping[str, int]
    given_up: int
    unknown: int
    duplicates: int
    reconnections: int
    killed: int
    """The number of workers that `--chaos` killed."""
    client_cpu: float
    """The CPU usage of the load test, as a share of one core."""
    latency_ms: Mapping[str, float]
    course: TimeSeries
    verdict: VerificationResult | None
    passed: bool


def build_result(
    plan: Plan,
    measure: Measurements,
    verdict: VerificationResult | None,
    *,
    seconds: float,
    cpu_seconds: float,
    killed: int,
) -> LoadTestResult:
    """Returns the result of a run that took `seconds`."""
    return LoadTestResult(
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
        course=_build_time_series(measure.timeline, seconds),
        verdict=verdict,
        # Orders that were finally refused, or have an unknown outcome, were not accepted; errors in the store are
        # worse.
        passed=measure.accepted > 0
        and not measure.rejected
        and not measure.unknown
        and (verdict is None or verdict.passed),
    )


def read_result(file: Path) -> LoadTestResult:
    """Returns a result that another run has written with `--json`. Raises ClientError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=LoadTestResult)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientError(
            f"{file} is not a result of a load test: {error}", hint="write one with: loadtest --json > FILE.json"
        ) from None


def _build_time_series(timeline: Timeline, seconds: float) -> TimeSeries:
    slices = timeline.slices
    # The last interval may be cut short, and less than half of one says little.
    last = seconds - timeline.seconds * (len(slices) - 1)
    if len(slices) > 1 and last < timeline.seconds / 2:
        slices = slices[:-1]
        last = timeline.seconds
    lengths = [*[timeline.seconds] * (len(slices) - 1), last]
    return TimeSeries(
        seconds=timeline.seconds,
        rate=[round(one.accepted / length, 1) for one, length in zip(slices, lengths, strict=False)],
        p50=[_quantile_ms(one.latency, QUANTILES[0]) for one in slices],
        p99=[_quantile_ms(one.latency, QUANTILES[2]) for one in slices],
    )


def _quantile_ms(latency: Quantiles, share: float) -> float | None:
    value = latency.estimate_quantile(share)
    return None if value is None else round(value / 1000, 3)
