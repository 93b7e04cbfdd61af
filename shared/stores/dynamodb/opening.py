"""Opens the record store on DynamoDB with all that it needs."""

import contextlib
from collections.abc import AsyncIterator

from shared.domain.tables import Tables
from shared.stores.dynamodb.client import DynamoSettings, dynamo
from shared.stores.dynamodb.feed import Feed
from shared.stores.dynamodb.records import DynamoRecordStore


@contextlib.asynccontextmanager
async def dynamo_records(settings: DynamoSettings, tables: Tables) -> AsyncIterator[DynamoRecordStore]:
    """The store, for as long as the block lasts; its tables have to be there (`create_tables`)."""
    async with dynamo(settings) as items, dynamo(settings, "dynamodbstreams") as streams:
        yield DynamoRecordStore(items, Feed(items, streams, tables), tables)
