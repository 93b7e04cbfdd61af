"""Opens the record store on DynamoDB, with its tables made and its clients."""

import contextlib
from collections.abc import AsyncIterator

from botocore.exceptions import BotoCoreError

from shared.domain.errors import StartupError, StoreError
from shared.domain.tables import Tables
from shared.stores.dynamodb.client import dynamo
from shared.stores.dynamodb.feed import Feed
from shared.stores.dynamodb.record_tables import create_tables
from shared.stores.dynamodb.records import DynamoRecordStore
from shared.stores.dynamodb.settings import DynamoSettings


@contextlib.asynccontextmanager
async def dynamo_records(
    settings: DynamoSettings, tables: Tables
) -> AsyncIterator[tuple[DynamoRecordStore, list[str]]]:
    """The store, for as long as the block lasts, and which of its tables had to be made.

    Raises StartupError when DynamoDB cannot be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            items = await stack.enter_async_context(dynamo(settings))
            streams = await stack.enter_async_context(dynamo(settings, "dynamodbstreams"))
            made = await create_tables(items, tables)
        except (BotoCoreError, ValueError, StoreError) as error:
            reason = error.message if isinstance(error, StoreError) else str(error)
            raise StartupError(
                f"DynamoDB cannot be used: {reason}",
                hint="check DYNAMODB_ENDPOINT, AWS_REGION and the credentials in the environment",
            ) from error
        yield DynamoRecordStore(items, Feed(items, streams, tables), tables), made
