"""The source and the target of a migration, opened by the settings."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from shared.domain.tables import suite_tables
from shared.runtime.settings import Prefix
from shared.stores.dynamodb.settings import DynamoSettings
from shared.stores.ports.transfer import CarriedTransfer, ItemTransfer, OrderTransfer
from shared.stores.sqlite.carried_transfer import SqliteCarriedTransfer
from shared.stores.sqlite.files import StoreFiles, make_folder
from shared.stores.sqlite.records import SqliteRecordStore
from shared.stores.sqlite.transfer import SqliteItemTransfer, SqliteOrderTransfer

Kind = Literal["sqlite", "dynamodb"]


class MigrationSettings(Struct, frozen=True):
    """The servers' settings for the locations of their stores."""

    data_dir: str = "data"
    db_path: str | None = None
    dynamodb_endpoint: str | None = None
    dynamodb_prefix: Prefix = "comanda-"
    aws_region: str | None = None
    corporate_data: str = "CorporateData"
    corporate_log: str = "CorporateLog"


class OpenStore(NamedTuple):
    """One side of a migration."""

    orders: OrderTransfer
    items: ItemTransfer
    carried: CarriedTransfer
    followed: frozenset[str]
    """The tables whose changes are in the feed."""


@contextlib.asynccontextmanager
async def open_store(kind: Kind, settings: MigrationSettings) -> AsyncIterator[OpenStore]:
    """Opens a store for the duration of the block. Raises StartupError if it is in use or unavailable."""
    tables = suite_tables(settings.corporate_data, settings.corporate_log)
    followed = frozenset(name for name, table in tables.items() if table.feed)
    if kind == "dynamodb":
        # Imported here because loading takes long.
        from shared.stores.dynamodb.stores import dynamo_transfer  # noqa: PLC0415

        where = DynamoSettings(
            endpoint=settings.dynamodb_endpoint, region=settings.aws_region, prefix=settings.dynamodb_prefix
        )
        async with dynamo_transfer(where, tables) as parts:
            yield OpenStore(*parts, followed)
        return
    folder = Path(settings.data_dir)
    files = StoreFiles(Path(settings.db_path) if settings.db_path else folder / "orders.db")
    make_folder(files.orders.parent)
    make_folder(folder)
    records = SqliteRecordStore(folder / "records.db", tables)
    try:
        moved = SqliteOrderTransfer(files)
        try:
            carried = SqliteCarriedTransfer(folder / "distributed.db", files, records)
            try:
                yield OpenStore(moved, SqliteItemTransfer(records), carried, followed)
            finally:
                carried.close()
        finally:
            moved.close()
    finally:
        await records.close()
