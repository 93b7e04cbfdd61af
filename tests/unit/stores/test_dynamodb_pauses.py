"""How long calls of DynamoDB wait before they are made again."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.stores.dynamodb.client import DynamoClient
from shared.stores.dynamodb.settings import DynamoSettings


class RefusingClient:
    """Refuses as often as there are errors, then answers."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        self._errors = list(errors)

    async def transact_write_items(self, **_: Any) -> str:
        if self._errors:
            raise ClientError(self._errors.pop(0), "TransactWriteItems")
        return "done"


CONFLICT = {
    "Error": {"Code": "TransactionCanceledException"},
    "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
}
THROTTLED = {"Error": {"Code": "ThrottlingException"}}


async def test_a_conflict_is_over_sooner_than_a_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    client = DynamoClient(RefusingClient(*[CONFLICT] * 40, *[THROTTLED] * 40), DynamoSettings(), "dynamodb")
    monkeypatch.setattr(asyncio, "sleep", note)
    assert await client.call("transact_write_items") == "done"
    conflicts, throttles = pauses[:40], pauses[40:]
    assert max(conflicts[:1]) <= 0.01
    assert 0.04 < max(conflicts) <= 0.08
    # They are spread over the whole time.
    assert min(conflicts[3:]) < 0.03
    assert throttles[0] >= 0.025
    assert 0.25 <= min(throttles[5:]) <= max(throttles) <= 0.5
