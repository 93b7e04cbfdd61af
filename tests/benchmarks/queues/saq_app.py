"""SAQ on Redis, with attempts left for a job that a kill cut short."""

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from saq import Queue

from tests.benchmarks.queues import results

queue = Queue.from_url(os.environ["BROKER_URL"])
loop = asyncio.Runner()


async def record(_context: dict[str, Any], *, number: int) -> None:
    """Does the job."""
    results.record(number)


settings = {"queue": queue, "functions": [record]}


def send(numbers: Iterable[int]) -> None:
    """Sends a job for each number."""

    async def enqueue() -> None:
        await asyncio.gather(*(queue.enqueue("record", number=number, retries=3) for number in numbers))

    loop.run(enqueue())


def held() -> int:
    """How many jobs the broker has: waiting, or taken and not acknowledged."""
    return int(loop.run(queue.count("incomplete")))
