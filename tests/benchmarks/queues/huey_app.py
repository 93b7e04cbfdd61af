"""huey on Redis."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from huey import RedisHuey

from tests.benchmarks.queues import results

huey = RedisHuey("peers", url=os.environ["BROKER_URL"])

record = huey.task(retries=3)(results.record)


def send(numbers: Iterable[int]) -> None:
    """Sends a job for each number."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, numbers))


def held() -> int:
    """How many jobs the broker has: waiting, or taken and not acknowledged."""
    return int(huey.pending_count())
