"""A local server of S3, SNS and SQS, and what tests do with it."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aioboto3

from tests.support.eventually import eventually

REGION = "eu-west-1"


class Cloud(NamedTuple):
    """Clients of one server."""

    endpoint: str
    s3: Any
    sns: Any
    sqs: Any

    async def queue(self, name: str) -> str:
        """The address of a new queue."""
        return str((await self.sqs.create_queue(QueueName=name))["QueueUrl"])

    async def queue_arn(self, queue: str) -> str:
        """What a queue is called by other services."""
        answer = await self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    async def waiting(self, queue: str) -> int:
        """How many messages a queue has, those that somebody holds included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    async def emptied(self, queue: str) -> None:
        """Returns when a queue has no messages."""

        async def is_empty() -> bool:
            return not await self.waiting(queue)

        await eventually(is_empty)

    async def subscribed(self, topic: str, queue: str) -> None:
        """Has a queue get what is published to a topic."""
        await self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=await self.queue_arn(queue))

    async def received(self, queue: str, count: int) -> list[dict[str, Any]]:
        """Waits for so many messages, and gives all that there are, decoded."""
        found: list[dict[str, Any]] = []

        async def look() -> bool:
            answer = await self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            found.extend(json.loads(message["Body"]) for message in answer.get("Messages", ()))
            return len(found) >= count and not answer.get("Messages")

        await eventually(look)
        return found


@contextlib.asynccontextmanager
async def cloud_at(endpoint: str) -> AsyncIterator[Cloud]:
    """Clients for as long as the block lasts."""
    session = aioboto3.Session(region_name=REGION)
    async with contextlib.AsyncExitStack() as stack:
        s3, sns, sqs = [
            await stack.enter_async_context(session.client(name, endpoint_url=endpoint))
            for name in ("s3", "sns", "sqs")
        ]
        yield Cloud(endpoint, s3, sns, sqs)
