"""huey on Redis."""

import os
from collections.abc import Iterable

from huey import RedisHuey

from tests.benchmarks.queues import results
from tests.benchmarks.queues.parallel import in_threads

huey = RedisHuey("peers", url=os.environ["BROKER_URL"])

record = huey.task(retries=3)(results.record)


def send(numbers: Iterable[int]) -> None:
    """Sends a job for each number."""
    in_threads(record, numbers)


def held() -> int:
    """How many jobs the broker has: waiting, or taken and not acknowledged."""
    return int(huey.pending_count())
