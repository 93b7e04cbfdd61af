"""Imports objects of S3 buckets, announced by notifications in a queue.

A message is deleted from the queue once all of its objects are imported or rejected; until then the queue delivers it
again. A second notification of an object is recognized by the object's digest.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import structlog

from clients.persistence import PersistenceClient
from services.aws import AwsClient, AwsError, open_aws_client
from services.inventory.bucket_events import S3Object, created_objects
from services.inventory.file_import import CHUNK_BYTES, import_stock_file
from services.inventory.retry_backoff import LONGEST_RETRY_SECONDS, RetryBackoff
from shared.domain.errors import ComandaError, InvalidParams

_WAIT_SECONDS = 10
"""Long-polling time of the queue, in seconds."""
_GRACE_SECONDS = 5.0
_MISSING_CODES = frozenset({"404", "NoSuchBucket", "NoSuchKey"})


class BucketImporter:
    """Imports the objects of a queue's messages. `endpoint` is that of a server other than AWS.

    A message is hidden from other consumers for `hidden_seconds` after it was received or extended, which happens every
    `extend_seconds` while it is processed.
    """

    def __init__(
        self,
        records: PersistenceClient,
        queue_url: str,
        *,
        region: str | None,
        endpoint: str | None,
        max_bytes: int,
        hidden_seconds: int = 60,
        extend_seconds: float = 20.0,
        longest_retry_seconds: float = LONGEST_RETRY_SECONDS,
    ) -> None:
        self._records = records
        self._queue = queue_url
        self._region = region
        self._endpoint = endpoint
        self._max_bytes = max_bytes
        self._hidden_seconds = hidden_seconds
        self._extend_seconds = extend_seconds
        self._backoff = RetryBackoff("S3 objects", longest_retry_seconds)
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Receives messages until cancelled."""
        response_seconds = _WAIT_SECONDS + _GRACE_SECONDS
        while True:
            try:
                async with (
                    open_aws_client(
                        "sqs", region=self._region, endpoint=self._endpoint, response_seconds=response_seconds
                    ) as queue,
                    open_aws_client("s3", region=self._region, endpoint=self._endpoint) as store,
                ):
                    await self._receive_messages(queue, store)
            except AwsError as error:
                await self._backoff.wait_after_error(error)

    async def _receive_messages(self, queue: AwsClient, store: AwsClient) -> None:
        while True:
            try:
                await self._receive_message(queue, store)
                self._backoff.reset()
            except ComandaError as error:
                await self._backoff.wait_after_error(error)

    async def _receive_message(self, queue: AwsClient, store: AwsClient) -> None:
        """Processes the next message, if there is one. Raises AwsError and the errors of `records`."""
        # Each receipt without a deletion brings a message nearer to the dead-letter queue.
        await self._records.ping()
        # One at a time: the others stay visible to other consumers.
        answer = await queue.call_operation(
            "receive_message",
            QueueUrl=self._queue,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=_WAIT_SECONDS,
            VisibilityTimeout=self._hidden_seconds,
        )
        for message in answer.get("Messages", ()):
            receipt = message["ReceiptHandle"]
            async with self._keep_hidden(queue, receipt):
                await self._import_message(store, message["Body"])
            await queue.call_operation("delete_message", QueueUrl=self._queue, ReceiptHandle=receipt)

    @contextlib.asynccontextmanager
    async def _keep_hidden(self, queue: AwsClient, receipt: str) -> AsyncIterator[None]:
        """Hides a message from other consumers for the duration of the block."""
        holding = asyncio.create_task(self._extend_visibility(queue, receipt), name="hold a message")
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.wait([holding])

    async def _extend_visibility(self, queue: AwsClient, receipt: str) -> None:
        while True:
            await asyncio.sleep(self._extend_seconds)
            # If this fails, the message may be processed twice, which is harmless.
            with contextlib.suppress(AwsError):
                await queue.call_operation(
                    "change_message_visibility",
                    QueueUrl=self._queue,
                    ReceiptHandle=receipt,
                    VisibilityTimeout=self._hidden_seconds,
                )

    async def _import_message(self, store: AwsClient, body: str) -> None:
        """Imports the objects of a message. Raises the errors after which it has to be delivered again."""
        try:
            objects = created_objects(body)
        except InvalidParams as error:
            self._log.warning("queue_message_invalid", reason=error.message, message=body[:1000])
            return
        for created in objects:
            await self._import_object(store, created)

    async def _import_object(self, store: AwsClient, created: S3Object) -> None:
        name = f"{created.bucket}/{created.key}"
        try:
            outcome = await import_stock_file(
                self._records, _read_object(store, created), name=name, source="s3", max_bytes=self._max_bytes
            )
        except AwsError as error:
            if error.aws_code not in _MISSING_CODES:
                raise
            self._log.warning("object_missing", name=name)
            return
        if outcome.problem is not None:
            problem = outcome.problem
            self._log.warning("object_rejected", name=name, reason=problem["message"], report=problem.get("report"))
        elif outcome.known:
            self._log.info("object_already_imported", name=name, id=outcome.id)
        else:
            self._log.info("object_accepted", name=name, id=outcome.id)


async def _read_object(store: AwsClient, created: S3Object) -> AsyncGenerator[bytes, None]:
    answer = await store.call_operation("get_object", Bucket=created.bucket, Key=created.key)
    async with contextlib.aclosing(store.read_chunks(answer["Body"], CHUNK_BYTES)) as parts:
        async for part in parts:
            yield part
