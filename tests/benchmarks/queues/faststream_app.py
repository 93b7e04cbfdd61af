"""FastStream on NATS JetStream: a work queue on disk, acknowledged when a job is done."""

import asyncio
import os
from collections.abc import Iterable

from faststream import FastStream
from faststream.nats import JStream, NatsBroker, PullSub
from nats.js.api import RetentionPolicy, StorageType

from tests.benchmarks.queues import results

broker = NatsBroker(os.environ["BROKER_URL"])
app = FastStream(broker)
loop = asyncio.Runner()
jobs = JStream("jobs", retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE)


@broker.subscriber("record", stream=jobs, durable="workers", pull_sub=PullSub(batch_size=10))
async def record(number: int) -> None:
    """Does the job."""
    results.record(number)


def send(numbers: Iterable[int]) -> None:
    """Sends a job for each number."""

    async def publish() -> None:
        client = await broker.connect()
        # As the workers do when they start; whoever comes second changes nothing.
        await client.jetstream().add_stream(config=jobs.config, subjects=["record"])
        # Thousands at once would run into the client's timeout.
        window = asyncio.Semaphore(100)

        async def publish_one(number: int) -> None:
            async with window:
                await broker.publish(number, "record", stream="jobs")

        await asyncio.gather(*map(publish_one, numbers))

    loop.run(publish())


def held() -> int:
    """How many jobs the broker has: waiting, or taken and not acknowledged."""

    async def ask() -> int:
        client = await broker.connect()
        known = await client.jetstream().stream_info("jobs")
        return int(known.state.messages)

    return loop.run(ask())
