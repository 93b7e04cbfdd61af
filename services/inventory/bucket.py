"""Imports the objects of S3 buckets, whose notifications come through a queue.

A message stays in the queue until all that it tells of is in, or refused for good; it comes back by itself when it was
not removed. An object that is told of twice is known by its digest.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import structlog

from clients.persistence import PersistenceClient
from services.inventory.aws import Aws, AwsError, aws
from services.inventory.backoff import Backoff
from services.inventory.bucket_events import S3Object, created_objects
from services.inventory.incoming import PART_BYTES, take_in
from shared.domain.errors import ComandaError, InvalidParams

_WAIT_SECONDS = 10
"""How long the queue is asked to wait for a message."""
_GRACE_SECONDS = 5.0
_HELD_SECONDS = 60
"""How long nobody else sees a message after it was last said that it is being dealt with."""
_HOLD_AGAIN_SECONDS = 20.0
_GONE = frozenset({"404", "NoSuchBucket", "NoSuchKey"})


class Bucket:
    """Imports what the messages of a queue tell of. `endpoint` is that of a server which is not AWS."""

    def __init__(
        self, records: PersistenceClient, queue_url: str, *, region: str | None, endpoint: str | None, max_bytes: int
    ) -> None:
        self._records = records
        self._queue = queue_url
        self._region = region
        self._endpoint = endpoint
        self._max_bytes = max_bytes
        self._backoff = Backoff("objects of S3")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Waits for messages until cancelled."""
        answer_seconds = _WAIT_SECONDS + _GRACE_SECONDS
        while True:
            try:
                async with (
                    aws("sqs", region=self._region, endpoint=self._endpoint, answer_seconds=answer_seconds) as queue,
                    aws("s3", region=self._region, endpoint=self._endpoint) as store,
                ):
                    await self._follow(queue, store)
            except AwsError as error:
                await self._backoff.failed(error)

    async def _follow(self, queue: Aws, store: Aws) -> None:
        while True:
            try:
                await self._receive(queue, store)
                self._backoff.succeeded()
            except ComandaError as error:
                await self._backoff.failed(error)

    async def _receive(self, queue: Aws, store: Aws) -> None:
        """Deals with the next message, if one comes. Raises AwsError, and what `records` does."""
        # A message that is received and not dealt with comes nearer to its queue's dead letters each time.
        await self._records.ping()
        # One at a time: the others stay visible to whoever else imports.
        answer = await queue.call(
            "receive_message",
            QueueUrl=self._queue,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=_WAIT_SECONDS,
            VisibilityTimeout=_HELD_SECONDS,
        )
        for message in answer.get("Messages", ()):
            receipt = message["ReceiptHandle"]
            async with self._held(queue, receipt):
                await self._deal(store, message["Body"])
            await queue.call("delete_message", QueueUrl=self._queue, ReceiptHandle=receipt)

    @contextlib.asynccontextmanager
    async def _held(self, queue: Aws, receipt: str) -> AsyncIterator[None]:
        """Keeps a message from everybody else for as long as the block lasts."""
        holding = asyncio.create_task(self._hold(queue, receipt), name="hold a message")
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.wait([holding])

    async def _hold(self, queue: Aws, receipt: str) -> None:
        while True:
            await asyncio.sleep(_HOLD_AGAIN_SECONDS)
            # Where this fails the message may be dealt with twice, which does no harm.
            with contextlib.suppress(AwsError):
                await queue.call(
                    "change_message_visibility",
                    QueueUrl=self._queue,
                    ReceiptHandle=receipt,
                    VisibilityTimeout=_HELD_SECONDS,
                )

    async def _deal(self, store: Aws, body: str) -> None:
        """Imports what a message tells of. Raises what says that it has to come back."""
        try:
            created = created_objects(body)
        except InvalidParams as error:
            self._log.warning("a message was not understood, and removed", reason=error.message, message=body[:1000])
            return
        for one in created:
            await self._import(store, one)

    async def _import(self, store: Aws, one: S3Object) -> None:
        name = f"{one.bucket}/{one.key}"
        try:
            arrival = await take_in(
                self._records, _parts(store, one), name=name, source="s3", max_bytes=self._max_bytes
            )
        except AwsError as error:
            if error.reason not in _GONE:
                raise
            self._log.warning("an object was gone before it could be imported", name=name)
            return
        if arrival.problem is not None:
            problem = arrival.problem
            self._log.warning(
                "an object was refused", name=name, reason=problem["message"], report=problem.get("report")
            )
        elif arrival.known:
            self._log.info("an object was in already", name=name, id=arrival.id)
        else:
            self._log.info("an object has come in", name=name, id=arrival.id)


async def _parts(store: Aws, one: S3Object) -> AsyncGenerator[bytes, None]:
    answer = await store.call("get_object", Bucket=one.bucket, Key=one.key)
    async with contextlib.aclosing(store.parts(answer["Body"], PART_BYTES)) as parts:
        async for part in parts:
            yield part
