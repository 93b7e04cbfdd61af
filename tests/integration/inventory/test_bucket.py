"""Objects of S3 that come in through a queue, on a real server of S3, SNS and SQS."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from clients.inventory.imports import Import, list_imports
from clients.persistence import PersistenceClient
from services.aws import AwsClient, AwsError
from services.inventory.bucket import BucketImporter
from tests.support.cloud import REGION, Cloud, cloud_at
from tests.support.dynamodb import DynamoServer
from tests.support.eventually import eventually, running
from tests.support.intake import PersistenceProcess
from tests.support.intercepted import intercepted

T = TypeVar("T")
pytestmark = pytest.mark.usefixtures("credentials")

SHEET = b"store,item,count\nBerlin,Echo Dot,10\nBerlin,Kettle,3\n"


async def with_queue(cloud: Cloud, name: str) -> str:
    """A new bucket that tells a new queue of its objects; gives the queue."""
    queue = await cloud.queue(name)
    told = {"QueueArn": await cloud.queue_arn(queue), "Events": ["s3:ObjectCreated:*"]}
    await cloud.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    await cloud.s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": [told]}
    )
    return queue


def following(records: PersistenceClient, cloud: Cloud, queue: str, *, max_bytes: int = 1_000_000, **times: Any) -> Any:
    """A bucket's objects come in for as long as the block lasts."""
    importer = BucketImporter(
        records,
        queue,
        region=REGION,
        endpoint=cloud.endpoint,
        max_bytes=max_bytes,
        longest_retry_seconds=0.05,
        **times,
    )
    return running(importer.run())


async def imports(client: PersistenceClient) -> list[Import]:
    page = await list_imports(client, limit=100, cursor=None)
    return list(page.imports)


def message(*objects: tuple[str, str]) -> str:
    """What S3 says of new objects."""
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
        for bucket, key in objects
    ]
    return json.dumps({"Records": records})


def warnings(logs: Any) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == "warning"]


async def test_an_object_comes_in(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await with_queue(cloud, "comes-in")
    with capture_logs() as logs:
        async with following(client, cloud, queue):
            await cloud.s3.put_object(Bucket="comes-in", Key="new stock/Piñata+1.csv", Body=SHEET)
            [found] = await eventually(lambda: imports(client))
            await cloud.emptied(queue)
    assert (found.name, found.source, found.rows) == ("comes-in/new stock/Piñata+1.csv", "s3", 2)
    assert not warnings(logs)


async def test_a_large_object_comes_in_whole(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await with_queue(cloud, "large")
    rows = b"".join(b"Berlin,Item %d,1\n" % number for number in range(60_000))
    async with following(client, cloud, queue, max_bytes=10_000_000):
        await cloud.s3.put_object(Bucket="large", Key="stock.csv", Body=b"store,item,count\n" + rows)
        [found] = await eventually(lambda: imports(client))
    assert found.rows == 60_000


async def test_an_event_that_comes_by_way_of_a_topic(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await cloud.queue("by-topic")
    topic = (await cloud.sns.create_topic(Name="by-topic"))["TopicArn"]
    await cloud.subscribed(topic, queue)
    await cloud.s3.create_bucket(Bucket="by-topic", CreateBucketConfiguration={"LocationConstraint": REGION})
    told = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
    await cloud.s3.put_bucket_notification_configuration(
        Bucket="by-topic", NotificationConfiguration={"TopicConfigurations": [told]}
    )
    async with following(client, cloud, queue):
        await cloud.s3.put_object(Bucket="by-topic", Key="stock.csv", Body=SHEET)
        [found] = await eventually(lambda: imports(client))
        await cloud.emptied(queue)
    assert found.name == "by-topic/stock.csv"


async def test_an_event_that_comes_twice_is_one_import(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await with_queue(cloud, "twice")
    await cloud.s3.put_object(Bucket="twice", Key="stock.csv", Body=SHEET)
    await cloud.sqs.send_message(QueueUrl=queue, MessageBody=message(("twice", "stock.csv")))
    with capture_logs() as logs:
        async with following(client, cloud, queue, hidden_seconds=1):
            await eventually(lambda: "object_already_imported" in [entry["event"] for entry in logs])
            await cloud.emptied(queue)
    assert len(await imports(client)) == 1


async def test_a_refused_object_is_told_of_and_keeps_none_back(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await with_queue(cloud, "refused")
    await cloud.s3.put_object(Bucket="refused", Key="bad.csv", Body=SHEET + b"Paris,Kettle,-4\n")
    await cloud.s3.put_object(Bucket="refused", Key="large.csv", Body=SHEET + b"\n" * 1_000_000)
    await cloud.s3.put_object(Bucket="refused", Key="good.csv", Body=SHEET)
    with capture_logs() as logs:
        async with following(client, cloud, queue):
            [found] = await eventually(lambda: imports(client))
            await cloud.emptied(queue)
    assert found.name == "refused/good.csv"
    refused = {entry["name"]: entry for entry in logs if entry["event"] == "object_rejected"}
    assert sorted(refused) == ["refused/bad.csv", "refused/large.csv"]
    assert refused["refused/bad.csv"]["report"]["fault_list"][0]["line"] == 4


async def test_what_cannot_be_done_is_removed_and_told_of(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await with_queue(cloud, "odd")
    await cloud.s3.put_object(Bucket="odd", Key="stock.csv", Body=SHEET)
    bodies = ["hello", message(("odd", "nothing.csv")), message(("nowhere", "stock.csv"))]
    for body in bodies:
        await cloud.sqs.send_message(QueueUrl=queue, MessageBody=body)
    with capture_logs() as logs:
        async with following(client, cloud, queue):
            await cloud.emptied(queue)
    gone = "object_missing"
    assert sorted(warnings(logs)) == [gone, gone, "queue_message_invalid"]
    assert len(await imports(client)) == 1


async def test_all_objects_of_a_message_come_in(cloud: Cloud, client: PersistenceClient) -> None:
    queue = await cloud.queue("several")
    await cloud.s3.create_bucket(Bucket="several", CreateBucketConfiguration={"LocationConstraint": REGION})
    for key in ("a.csv", "b.csv"):
        await cloud.s3.put_object(Bucket="several", Key=key, Body=SHEET + f"Berlin,{key},1\n".encode())
    await cloud.sqs.send_message(QueueUrl=queue, MessageBody=message(("several", "a.csv"), ("several", "b.csv")))
    async with following(client, cloud, queue):
        await cloud.emptied(queue)
    assert sorted(found.name for found in await imports(client)) == ["several/a.csv", "several/b.csv"]


# Somebody is away.


async def test_messages_stay_in_the_queue_while_persistence_is_away(
    cloud: Cloud, client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    queue = await with_queue(cloud, "waits")
    persistence.kill()
    with capture_logs() as logs:
        async with following(client, cloud, queue):
            await cloud.s3.put_object(Bucket="waits", Key="stock.csv", Body=SHEET)
            await eventually(lambda: warnings(logs))
            counts = "ApproximateNumberOfMessages"
            answer = await cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[counts])
            # Nobody has received it, nor that of the queue's test.
            assert int(answer["Attributes"][counts]) == 2
            persistence.start()
            await eventually(lambda: imports(client))
            await cloud.emptied(queue)
    assert warnings(logs) == ["work_postponed"]


class Broken:
    """Asks as usual; of what it is asked while a file is imported, the first fails as if the server was killed."""

    def __init__(self, client: PersistenceClient, persistence: PersistenceProcess) -> None:
        self._client = client
        self._persistence = persistence
        self.asked = 0

    async def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> T:
        self.asked += 1
        # The first question is for the server itself.
        if self.asked == 2:
            self._persistence.kill()
        return await question(self._client)


async def test_a_message_comes_back_when_persistence_is_killed_in_the_middle(
    cloud: Cloud, client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    queue = await cloud.queue("killed")
    await cloud.s3.create_bucket(Bucket="killed", CreateBucketConfiguration={"LocationConstraint": REGION})
    await cloud.s3.put_object(Bucket="killed", Key="stock.csv", Body=SHEET)
    await cloud.sqs.send_message(QueueUrl=queue, MessageBody=message(("killed", "stock.csv")))
    with capture_logs() as logs:
        async with following(intercepted(Broken(client, persistence).ask), cloud, queue, hidden_seconds=1):
            await eventually(lambda: warnings(logs))
            assert await cloud.waiting(queue) == 1
            persistence.start()
            await eventually(lambda: imports(client))
            await cloud.emptied(queue)
    assert len(await imports(client)) == 1


async def test_a_message_that_could_not_be_removed_comes_back_and_changes_nothing(
    cloud: Cloud, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await with_queue(cloud, "stays")
    await cloud.s3.put_object(Bucket="stays", Key="stock.csv", Body=SHEET)
    call = AwsClient.call_operation
    failures = 0

    async def failing(self: AwsClient, operation: str, **members: Any) -> Any:
        nonlocal failures
        if operation == "delete_message" and await imports(client) and not failures:
            failures += 1
            raise AwsError("no answer")
        return await call(self, operation, **members)

    monkeypatch.setattr(AwsClient, "call_operation", failing)
    with capture_logs() as logs:
        async with following(client, cloud, queue, hidden_seconds=1):
            await eventually(lambda: "object_already_imported" in [entry["event"] for entry in logs])
            await cloud.emptied(queue)
    assert failures == 1
    assert len(await imports(client)) == 1


async def test_nobody_else_gets_a_message_that_is_being_dealt_with(
    cloud: Cloud, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await cloud.queue("held")
    await cloud.s3.create_bucket(Bucket="held", CreateBucketConfiguration={"LocationConstraint": REGION})
    await cloud.s3.put_object(Bucket="held", Key="stock.csv", Body=SHEET)
    await cloud.sqs.send_message(QueueUrl=queue, MessageBody=message(("held", "stock.csv")))
    held = asyncio.Event()
    call = AwsClient.call_operation

    async def seen(self: AwsClient, operation: str, **members: Any) -> Any:
        answer = await call(self, operation, **members)
        if operation == "change_message_visibility":
            held.set()
        return answer

    class Slow:
        asked = 0

        async def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> T:
            self.asked += 1
            if self.asked > 1:
                await held.wait()
            return await question(client)

    monkeypatch.setattr(AwsClient, "call_operation", seen)
    async with following(intercepted(Slow().ask), cloud, queue, extend_seconds=0.01):
        await cloud.emptied(queue)
    assert held.is_set()
    assert len(await imports(client)) == 1


async def test_aws_that_is_away_is_told_of_once_and_tried_again(client: PersistenceClient) -> None:
    server = DynamoServer()
    with contextlib.ExitStack() as stack, capture_logs() as logs:
        tried = 0

        class Counted:
            async def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> T:
                nonlocal tried
                tried += 1
                return await question(client)

        async with cloud_at(server.endpoint) as cloud:
            queue = f"{server.endpoint}/000000000000/late"
            async with following(intercepted(Counted().ask), cloud, queue):
                await eventually(lambda: tried > 2)
                server.start()
                stack.callback(server.stop)
                assert await with_queue(cloud, "late") == queue
                await cloud.s3.put_object(Bucket="late", Key="stock.csv", Body=SHEET)
                await eventually(lambda: imports(client))
    assert warnings(logs) == ["work_postponed"]
