"""Calls of DynamoDB: deadlines, retries, and translation of errors. The only module that uses aioboto3."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aioboto3
from aiohttp import ClientError as HttpError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.domain.errors import StoreError
from shared.runtime.backoff import Backoff
from shared.stores.dynamodb.settings import DynamoSettings

TRANSACTION_ACTIONS = 100
TRANSACTION_BYTES = 3_000_000
"""Below DynamoDB's limit of 4 MB, since names of members and the encoding are not counted."""

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
# A transaction takes some ten milliseconds: who waits longer for a hot item lets the others go first time and again.
_FIRST_CONFLICT_PAUSE = 0.01
_LONGEST_CONFLICT_PAUSE = 0.08
_NOT_DONE = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ResourceInUseException",
        "ThrottlingException",
    }
)
"""Temporary errors of calls that have had no effect."""
_IN_DOUBT = frozenset({"InternalServerError", "ServiceUnavailable", "TransactionInProgressException"})
"""Temporary errors of calls that may have taken effect."""
_CONFLICT = "TransactionConflict"
_PASSING_REASONS = frozenset({_CONFLICT, "ThrottlingError", "ProvisionedThroughputExceeded"})


class ConditionFailed(Exception):
    """A condition of a write or a transaction did not hold; the call has written nothing.

    With `in_doubt`, an earlier attempt of the same call may have succeeded and be the reason. `failed` has the indexes
    of the actions of a transaction whose conditions did not hold.
    """

    def __init__(self, failed: Sequence[int] = ()) -> None:
        super().__init__("a condition did not hold")
        self.failed = failed
        self.in_doubt = False


class TransactionInvalid(StoreError):
    """An update of a transaction does not suit the stored item, as a number added to a text; nothing is written."""


class IteratorExpired(Exception):
    """An iterator of a stream has expired; the caller has to request a new one."""


class StreamTrimmed(Exception):
    """A position in a stream is older than its retention."""


class DynamoClient:
    """One client with its pool of connections."""

    def __init__(self, client: Any, settings: DynamoSettings, service: str) -> None:
        self._client = client
        self._service = service
        self.settings = settings

    def next_deadline(self) -> float:
        """Returns the deadline of an operation that begins now, in the loop's time."""
        return asyncio.get_running_loop().time() + self.settings.deadline_seconds

    async def call(self, operation: str, *, by: float | None = None, **members: Any) -> Any:
        """Calls an operation by its method's name; retries after temporary errors until the deadline.

        A call that timed out may have taken effect, so writes need a condition or have to be idempotent.

        Raises ConditionFailed, TransactionInvalid, IteratorExpired and StreamTrimmed, and StoreError for everything
        else.
        """
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        conflicts = Backoff(_FIRST_CONFLICT_PAUSE, _LONGEST_CONFLICT_PAUSE)
        trouble = "it does not answer"
        in_doubt = False
        try:
            async with asyncio.timeout_at(self.next_deadline() if by is None else by):
                while True:
                    pause = backoff
                    try:
                        return await getattr(self._client, operation)(**members)
                    except ClientError as error:
                        try:
                            trouble = _classify_error(error)
                        except ConditionFailed as refused:
                            refused.in_doubt = in_doubt
                            raise
                        in_doubt = in_doubt or _error_code(error) in _IN_DOUBT
                        if _CONFLICT in _cancellation_reasons(error):
                            pause = conflicts
                    except (BotoCoreError, HttpError, OSError) as error:
                        trouble = f"{type(error).__name__}: {error}"
                        in_doubt = True
                    # Transactions that conflicted would begin together again.
                    share = random.uniform(0.0 if pause is conflicts else 0.5, 1.0)
                    await asyncio.sleep(pause.next_delay() * share)
        except TimeoutError:
            seconds = self.settings.deadline_seconds
            raise StoreError(
                f"{self._service} gave no good answer to {operation} within {seconds:g} s: {trouble}",
                hint="try again; if it stays so, see whether DYNAMODB_ENDPOINT answers",
            ) from None


def _classify_error(error: ClientError) -> str:
    """Returns the message of a temporary error. Raises the translation of every other error."""
    code, message = _error_code(error), error.response.get("Error", {}).get("Message", "")
    if code in _NOT_DONE or code in _IN_DOUBT:
        return f"{code}: {message}"
    if code == "ConditionalCheckFailedException":
        raise ConditionFailed from None
    if code == "TransactionCanceledException":
        reasons = _cancellation_reasons(error)
        failed = [number for number, reason in enumerate(reasons) if reason == "ConditionalCheckFailed"]
        if failed:
            raise ConditionFailed(failed) from None
        if not _PASSING_REASONS.isdisjoint(reasons):
            return f"{code}: {message}"
        if "ValidationError" in reasons:
            raise TransactionInvalid(f"DynamoDB refused: {code}: {message}") from error
    if code == "ExpiredIteratorException":
        raise IteratorExpired from None
    if code == "TrimmedDataAccessException":
        raise StreamTrimmed from None
    hint = "make the tables with --create-tables" if code == "ResourceNotFoundException" else None
    raise StoreError(f"DynamoDB refused: {code}: {message}", hint=hint) from error


def _cancellation_reasons(error: ClientError) -> list[str | None]:
    """Returns the code of each action of a cancelled transaction."""
    return [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]


def _error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


@contextlib.asynccontextmanager
async def open_client(settings: DynamoSettings, service: str = "dynamodb") -> AsyncIterator[DynamoClient]:
    """Opens a client for the duration of the block; `service` is dynamodb or dynamodbstreams."""
    config = Config(
        connect_timeout=settings.attempt_seconds,
        read_timeout=settings.attempt_seconds,
        max_pool_connections=settings.connections,
        # This module limits the time: botocore would try ten times, for up to a minute each.
        retries={"total_max_attempts": 1},
        parameter_validation=False,
    )
    session = aioboto3.Session(region_name=settings.region)
    async with session.client(service, endpoint_url=settings.endpoint, config=config) as client:
        yield DynamoClient(client, settings, service)
