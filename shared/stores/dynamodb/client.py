"""Calls to DynamoDB: deadlines, retries, and its errors in our words. The only module that knows aioboto3."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import aioboto3
from aiohttp import ClientError as HttpError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from shared.domain.errors import StoreError

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_TRY_AGAIN = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)


class DynamoSettings(Struct, frozen=True):
    """Where DynamoDB is and how long it may take; times are seconds."""

    endpoint: str | None = None
    """None is AWS itself, in the region that the environment names."""
    region: str | None = None
    prefix: str = ""
    """What the names of all tables begin with."""
    attempt_seconds: float = 2.0
    deadline_seconds: float = 5.0
    connections: int = 64


class ConditionFailed(Exception):
    """A condition of a write did not hold; nothing was written.

    `item` is what was there instead, where it was asked for, as DynamoDB gave it.
    """

    def __init__(self, item: dict[str, Any] | None = None) -> None:
        super().__init__("a condition did not hold")
        self.item = item


class TransactionCancelled(Exception):
    """A transaction was refused as a whole; `reasons` has DynamoDB's code and item for each of its actions."""

    def __init__(self, reasons: list[dict[str, Any]]) -> None:
        super().__init__(f"the transaction was cancelled: {[reason.get('Code') for reason in reasons]}")
        self.reasons = reasons


class Dynamo:
    """One client with its pool of connections."""

    def __init__(self, client: Any, settings: DynamoSettings, service: str) -> None:
        self._client = client
        self._service = service
        self.settings = settings

    async def call(self, operation: str, **members: Any) -> Any:
        """Calls an operation by its method's name, and again after passing faults, until the deadline.

        A call that timed out may have taken effect: what is written has to carry a condition, or to be the
        same however often it is written.

        Raises ConditionFailed, TransactionCancelled, and StoreError for everything else.
        """
        pause = _FIRST_PAUSE
        trouble = "it does not answer"
        try:
            async with asyncio.timeout(self.settings.deadline_seconds):
                while True:
                    try:
                        return await getattr(self._client, operation)(**members)
                    except ClientError as error:
                        trouble = _trouble(error)
                    except (BotoCoreError, HttpError, OSError) as error:
                        trouble = f"{type(error).__name__}: {error}"
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                    pause = min(pause * 2, _LONGEST_PAUSE)
        except TimeoutError:
            seconds = self.settings.deadline_seconds
            raise StoreError(
                f"{self._service} gave no good answer to {operation} within {seconds:g} s: {trouble}",
                hint="try again; if it stays so, see whether DYNAMODB_ENDPOINT answers",
            ) from None


def _trouble(error: ClientError) -> str:
    """What a passing fault says. Raises what every other error means."""
    found = error.response.get("Error", {})
    code, message = found.get("Code", "unknown"), found.get("Message", "")
    if code in _TRY_AGAIN:
        return f"{code}: {message}"
    if code == "ConditionalCheckFailedException":
        raise ConditionFailed(error.response.get("Item")) from None
    if code == "TransactionCanceledException":
        reasons = error.response.get("CancellationReasons", [])
        if not any(reason.get("Code") in _PASSING_REASONS for reason in reasons):
            raise TransactionCancelled(reasons) from None
        return f"{code}: {message}"
    hint = "make the tables with --create-tables" if code == "ResourceNotFoundException" else None
    raise StoreError(f"DynamoDB refused: {code}: {message}", hint=hint) from error


_PASSING_REASONS = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


@contextlib.asynccontextmanager
async def dynamo(settings: DynamoSettings, service: str = "dynamodb") -> AsyncIterator[Dynamo]:
    """A client for as long as the block lasts; `service` is dynamodb or dynamodbstreams."""
    config = Config(
        connect_timeout=settings.attempt_seconds,
        read_timeout=settings.attempt_seconds,
        max_pool_connections=settings.connections,
        # The deadline is ours to keep: botocore alone would try ten times, for up to a minute each.
        retries={"total_max_attempts": 1},
        parameter_validation=False,
    )
    session = aioboto3.Session(region_name=settings.region)
    async with session.client(service, endpoint_url=settings.endpoint, config=config) as client:
        yield Dynamo(client, settings, service)
