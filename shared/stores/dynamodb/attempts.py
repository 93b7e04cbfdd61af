"""Failed attempts on DynamoDB: one item each, written only if a handler raised."""

from collections.abc import Iterable, Sequence
from typing import Any

from shared.domain.orders import FailedAttempt
from shared.stores.dynamodb.chunks import run_concurrently
from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.order_tables import ATTEMPTS
from shared.stores.ports.orders import Failure

_BATCH = 25


async def keep_attempts(dynamo: DynamoClient, failures: Iterable[Failure]) -> None:
    """Stores failed attempts, and deletes the oldest of an order beyond the limit. Raises StoreError.

    The key of an item contains the attempt, which belongs to one worker. So writes are idempotent, and the item is also
    correct if the attempt turns out to be lost.
    """
    requests: list[dict[str, Any]] = []
    for failure in failures:
        kept = FailedAttempt(failure.attempt, failure.finished, failure.detail, failure.place, failure.traceback)
        requests.append({"PutRequest": {"Item": attempt_item(failure.sequence, kept)}})
        if failure.oldest_kept > 1:
            requests.append({"DeleteRequest": {"Key": _attempt_key(failure.sequence, failure.oldest_kept - 1)}})
    table = dynamo.settings.prefix + ATTEMPTS

    async def write_part(part: Sequence[dict[str, Any]]) -> None:
        wanted: dict[str, Any] = {table: part}
        while wanted:
            answer = await dynamo.call("batch_write_item", RequestItems=wanted)
            wanted = answer.get("UnprocessedItems") or {}

    await run_concurrently(write_part(requests[start : start + _BATCH]) for start in range(0, len(requests), _BATCH))


async def read_attempts(dynamo: DynamoClient, sequence: int, by: float | None = None) -> list[FailedAttempt]:
    """Returns the kept failed attempts of an order, the oldest first. Raises StoreError."""
    answer = await dynamo.call(
        "query",
        by=by,
        TableName=dynamo.settings.prefix + ATTEMPTS,
        KeyConditionExpression="s = :s",
        ExpressionAttributeValues={":s": {"N": str(sequence)}},
        ConsistentRead=True,
    )
    return [_decode_attempt(item) for item in answer["Items"]]


def attempt_item(sequence: int, failed: FailedAttempt) -> dict[str, Any]:
    """Returns a failed attempt as an item of `ATTEMPTS`."""
    item = {**_attempt_key(sequence, failed.attempt), "f": {"N": str(failed.finished)}, "d": {"S": failed.detail}}
    if failed.place is not None:
        item["p"] = {"S": failed.place}
    if failed.traceback is not None:
        item["t"] = {"S": failed.traceback}
    return item


def _attempt_key(sequence: int, attempt: int) -> dict[str, Any]:
    return {"s": {"N": str(sequence)}, "a": {"N": str(attempt)}}


def _decode_attempt(item: dict[str, Any]) -> FailedAttempt:
    place, trace = item.get("p"), item.get("t")
    return FailedAttempt(
        int(item["a"]["N"]),
        int(item["f"]["N"]),
        item["d"]["S"],
        None if place is None else place["S"],
        None if trace is None else trace["S"],
    )
