"""Opens the stores on DynamoDB, with their clients, and creates missing tables."""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
from botocore.exceptions import BotoCoreError

from shared.domain.errors import StartupError, StoreError
from shared.domain.tables import Tables
from shared.stores.dynamodb.carried_transfer import DynamoCarriedTransfer, create_carried_table
from shared.stores.dynamodb.client import DynamoClient, open_client
from shared.stores.dynamodb.order_tables import create_order_tables, expire_keys
from shared.stores.dynamodb.orders import DynamoOrderStore
from shared.stores.dynamodb.record_tables import create_record_tables, find_keys
from shared.stores.dynamodb.records import DynamoRecordStore
from shared.stores.dynamodb.servers import ServerDirectory
from shared.stores.dynamodb.settings import DynamoSettings, DynamoWorkSettings
from shared.stores.dynamodb.stream_feed import StreamFeed
from shared.stores.dynamodb.transfer import DynamoItemTransfer, DynamoOrderTransfer
from shared.stores.dynamodb.work_store import DynamoWorkStore


async def create_tables(settings: DynamoSettings, tables: Tables) -> list[str]:
    """Creates missing tables of records and orders; returns the names of what was created. Raises StartupError."""
    with _translate_errors():
        async with open_client(settings) as client:
            known = await find_keys(client, tables)
            return await create_record_tables(client, known) + await create_order_tables(client)


@contextlib.asynccontextmanager
async def dynamo_records(settings: DynamoSettings, tables: Tables) -> AsyncIterator[DynamoRecordStore]:
    """Opens the record store for the duration of the block. Raises StartupError if DynamoDB is not available."""
    async with contextlib.AsyncExitStack() as stack:
        with _translate_errors():
            items = await stack.enter_async_context(open_client(settings))
            streams = await stack.enter_async_context(open_client(settings, "dynamodbstreams"))
            tables = await find_keys(items, tables)
            await create_record_tables(items, tables)
        yield DynamoRecordStore(items, StreamFeed(items, streams, tables), tables)


@contextlib.asynccontextmanager
async def dynamo_orders(
    settings: DynamoSettings, *, lease_seconds: float, request_id_seconds: float = 0
) -> AsyncIterator[tuple[DynamoOrderStore, DynamoWorkSettings]]:
    """Opens the intake's store for the duration of the block; yields it and the settings for its workers.

    Raises StartupError if DynamoDB is not available.
    """
    async with contextlib.AsyncExitStack() as stack:
        with _translate_errors():
            client = await stack.enter_async_context(open_client(settings))
            await create_order_tables(client)
            if request_id_seconds:
                await _expire_keys(client)
            me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
            servers = ServerDirectory(client, me)
            node = (await servers.read_shared()).node
        store = DynamoOrderStore(
            client, servers, node, lease_seconds=lease_seconds, request_id_seconds=request_id_seconds
        )
        try:
            yield store, DynamoWorkSettings(settings, me)
        finally:
            await store.close()


@contextlib.asynccontextmanager
async def dynamo_work(work: DynamoWorkSettings) -> AsyncIterator[DynamoWorkStore]:
    """Opens a worker's store for the duration of the block."""
    async with open_client(work.settings) as client:
        yield DynamoWorkStore(client, work.server)


@contextlib.asynccontextmanager
async def dynamo_transfer(
    settings: DynamoSettings, tables: Tables
) -> AsyncIterator[tuple[DynamoOrderTransfer, DynamoItemTransfer, DynamoCarriedTransfer]]:
    """Opens the transfers of orders, items and other data for the duration of the block.

    Raises StartupError if an intake uses the tables or DynamoDB is not available.
    """
    async with contextlib.AsyncExitStack() as stack:
        with _translate_errors():
            client = await stack.enter_async_context(open_client(settings))
            tables = await find_keys(client, tables)
            await create_record_tables(client, tables)
            await create_order_tables(client)
            await create_carried_table(client)
            orders = DynamoOrderTransfer(client)
            await orders.check_unused()
        yield orders, DynamoItemTransfer(client, tables), DynamoCarriedTransfer(client)


async def _expire_keys(client: DynamoClient) -> None:
    """Enables the deletion of expired keys if permitted; otherwise they expire but still occupy space."""
    try:
        await expire_keys(client)
    except StoreError as error:
        structlog.get_logger().warning(
            "key_expiry_unavailable", reason=error.message, hint="allow DescribeTimeToLive and UpdateTimeToLive"
        )


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ValueError, StoreError) as error:
        reason = error.message if isinstance(error, StoreError) else str(error)
        raise StartupError(
            f"DynamoDB cannot be used: {reason}",
            hint="check DYNAMODB_ENDPOINT, AWS_REGION and the credentials in the environment",
        ) from error
