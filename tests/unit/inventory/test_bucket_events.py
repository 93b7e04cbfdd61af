"""What S3 and SNS put into a queue."""

import json
from typing import Any

import pytest

from services.inventory.bucket_events import S3Object, created_objects
from shared.domain.errors import InvalidParams


def record(event: str = "ObjectCreated:Put", key: str = "stock.csv") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventName": event,
        "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 3}},
    }


def test_objects_of_a_message_by_their_decoded_keys() -> None:
    body = json.dumps({"Records": [record(), record("s3:ObjectCreated:Copy", "a+b/Pi%C3%B1ata%2B.csv")]})
    assert created_objects(body) == [S3Object("b", "stock.csv"), S3Object("b", "a b/Piñata+.csv")]


def test_what_sns_wraps_is_the_same() -> None:
    body = json.dumps({"Type": "Notification", "TopicArn": "…", "Message": json.dumps({"Records": [record()]})})
    assert created_objects(body) == [S3Object("b", "stock.csv")]


def test_other_events_and_the_test_of_a_queue_are_nothing_to_do() -> None:
    assert created_objects(json.dumps({"Records": [record("ObjectRemoved:Delete")]})) == []
    assert created_objects(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"})) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"Event":"something"}',
        '{"Records":[{"eventName":"ObjectCreated:Put"}]}',
        '{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":""}}}]}',
        '{"Type":"Notification","Message":"hello"}',
        "[" * 100_000,
        '{"Records":null,"more":' + "[" * 100_000,
        "\ud800",
    ],
)
def test_a_message_that_is_something_else_says_so(body: str) -> None:
    with pytest.raises(InvalidParams, match="the message is no notification of S3"):
        created_objects(body)
