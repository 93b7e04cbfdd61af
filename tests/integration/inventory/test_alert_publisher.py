"""Alerts that are published to a topic, on a real server of SNS and SQS."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from clients.persistence import PersistenceClient
from services.aws import AwsClient
from services.inventory.alert_publisher import AlertPublisher
from shared.domain.tables import ALERTS
from tests.support.cloud import REGION, Cloud, cloud_at
from tests.support.dynamodb import DynamoServer
from tests.support.eventually import eventually, running
from tests.support.intake import PersistenceProcess

pytestmark = pytest.mark.usefixtures("credentials")


async def with_topic(cloud: Cloud, name: str) -> tuple[str, str]:
    """A new topic, and a queue that gets its messages."""
    topic = (await cloud.sns.create_topic(Name=name))["TopicArn"]
    queue = await cloud.queue(name)
    await cloud.subscribed(topic, queue)
    return topic, queue


def publisher(client: PersistenceClient, cloud: Cloud, topic: str) -> AlertPublisher:
    return AlertPublisher(client, topic, region=REGION, endpoint=cloud.endpoint, longest_retry_seconds=0.05)


def alert(item: str = "Echo Dot", number: int = 1, **members: Any) -> dict[str, Any]:
    since = f"2026-01-02T03:04:{number:02d}Z"
    return {
        "store": "Berlin",
        "item": item,
        "count": 3,
        "threshold": 5,
        "state": "open",
        "number": number,
        "since": since,
        "untold": since,
        **members,
    }


async def stored(client: PersistenceClient, item: str = "Echo Dot") -> dict[str, Any]:
    found = (await client.get_item(ALERTS.name, {"store": "Berlin", "item": item})).item
    assert found is not None
    return found


async def all_told(client: PersistenceClient) -> None:
    """Returns when no alert waits for its message."""

    async def look() -> bool:
        return not (await client.query(ALERTS.name, "untold")).items

    await eventually(look)


async def test_an_alert_is_published_once(cloud: Cloud, client: PersistenceClient) -> None:
    topic, queue = await with_topic(cloud, "once")
    publishing = publisher(client, cloud, topic)
    async with running(publishing.run()):
        await client.put_item(ALERTS.name, alert())
        publishing.wake()
        [message] = await cloud.received(queue, 1)
        await all_told(client)
        publishing.wake()
        await client.put_item(ALERTS.name, alert("Kettle"))
        publishing.wake()
        [other] = await cloud.received(queue, 1)
    assert message["Subject"] == "Low stock: Echo Dot"
    told = {name: alert()[name] for name in ("store", "item", "count", "threshold", "number", "since")}
    assert json.loads(message["Message"]) == {"tenant": "main", **told}
    assert message["MessageAttributes"] == {
        "tenant": {"Type": "String", "Value": "main"},
        "store": {"Type": "String", "Value": "Berlin"},
        "item": {"Type": "String", "Value": "Echo Dot"},
    }
    assert other["Subject"] == "Low stock: Kettle"
    left = alert()
    del left["untold"]
    assert await stored(client) == left


async def test_many_alerts_are_published_each(cloud: Cloud, client: PersistenceClient) -> None:
    topic, queue = await with_topic(cloud, "many")
    for number in range(130):
        await client.put_item(ALERTS.name, alert(f"Item {number}"))
    async with running(publisher(client, cloud, topic).run()):
        messages = await cloud.received(queue, 130)
        await all_told(client)
    assert len({message["Subject"] for message in messages}) == len(messages) == 130


class Meanwhile:
    """Does something once between the publishing of an alert and its being marked as that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, happens: Any) -> None:
        call = AwsClient.call_operation
        self.happened = False

        async def called(aws: AwsClient, operation: str, **members: Any) -> Any:
            answer = await call(aws, operation, **members)
            if operation == "publish" and not self.happened:
                self.happened = True
                await happens()
            return answer

        monkeypatch.setattr(AwsClient, "call_operation", called)


async def test_an_alert_that_is_acknowledged_meanwhile_stays_so(
    cloud: Cloud, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, queue = await with_topic(cloud, "acknowledged")

    async def acknowledge() -> None:
        await client.update_item(ALERTS.name, {"store": "Berlin", "item": "Echo Dot"}, {"state": "acknowledged"})

    Meanwhile(monkeypatch, acknowledge)
    await client.put_item(ALERTS.name, alert())
    async with running(publisher(client, cloud, topic).run()):
        await all_told(client)
    assert (await stored(client))["state"] == "acknowledged"
    assert len(await cloud.received(queue, 1)) == 1


async def test_the_next_alert_of_an_item_is_published_too(
    cloud: Cloud, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, queue = await with_topic(cloud, "next")

    async def cross_again() -> None:
        await client.put_item(ALERTS.name, alert(number=2))

    Meanwhile(monkeypatch, cross_again)
    await client.put_item(ALERTS.name, alert())
    async with running(publisher(client, cloud, topic).run()):
        messages = await cloud.received(queue, 2)
        await all_told(client)
    assert [json.loads(message["Message"])["number"] for message in messages] == [1, 2]


async def test_an_alert_that_is_removed_meanwhile_is_no_trouble(
    cloud: Cloud, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, queue = await with_topic(cloud, "removed")

    async def remove() -> None:
        await client.delete_item(ALERTS.name, {"store": "Berlin", "item": "Echo Dot"})

    Meanwhile(monkeypatch, remove)
    await client.put_item(ALERTS.name, alert())
    await client.put_item(ALERTS.name, alert("Kettle", 2))
    async with running(publisher(client, cloud, topic).run()):
        assert len(await cloud.received(queue, 2)) == 2
        await all_told(client)


async def test_persistence_that_is_killed_meanwhile_makes_no_second_message(
    cloud: Cloud, client: PersistenceClient, persistence: PersistenceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, queue = await with_topic(cloud, "killed")

    async def kill() -> None:
        persistence.kill()

    Meanwhile(monkeypatch, kill)
    await client.put_item(ALERTS.name, alert())
    with capture_logs() as logs:
        async with running(publisher(client, cloud, topic).run()):
            await eventually(lambda: [entry for entry in logs if entry["log_level"] == "warning"])
            persistence.start()
            await all_told(client)
            assert len(await cloud.received(queue, 1)) == 1


async def test_an_alert_that_sns_refuses_keeps_none_back(
    cloud: Cloud, client: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, queue = await with_topic(cloud, "refuses")
    call = AwsClient.call_operation

    async def called(aws: AwsClient, operation: str, **members: Any) -> Any:
        if members.get("Subject") == "Low stock: Item 0":
            members["TopicArn"] = topic + "-that-is-not-there"
        return await call(aws, operation, **members)

    monkeypatch.setattr(AwsClient, "call_operation", called)
    for number in range(15):
        await client.put_item(ALERTS.name, alert(f"Item {number}"))
    with capture_logs() as logs:
        async with running(publisher(client, cloud, topic).run()):
            assert len(await cloud.received(queue, 14)) == 14
            await eventually(lambda: [entry for entry in logs if entry["log_level"] == "warning"])
    assert "untold" in await stored(client, "Item 0")


async def test_alerts_wait_while_aws_is_away(client: PersistenceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    server = DynamoServer()
    calls = 0
    call = AwsClient.call_operation

    async def counted(aws: AwsClient, operation: str, **members: Any) -> Any:
        nonlocal calls
        calls += 1
        return await call(aws, operation, **members)

    monkeypatch.setattr(AwsClient, "call_operation", counted)
    await client.put_item(ALERTS.name, alert())
    with capture_logs() as logs:
        async with cloud_at(server.endpoint) as cloud:
            topic = f"arn:aws:sns:{REGION}:000000000000:late"
            async with running(publisher(client, cloud, topic).run()):
                await eventually(lambda: calls > 2)
                assert "untold" in await stored(client)
                server.start()
                try:
                    made, _ = await with_topic(cloud, "late")
                    assert made == topic
                    await all_told(client)
                finally:
                    server.stop()
    assert [entry["event"] for entry in logs] == ["work_postponed", "alert_published"]
