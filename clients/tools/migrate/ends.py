"""The two ends of a move, opened as the settings say."""

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


class MoveSettings(Struct, frozen=True):
    """The settings of the servers that say where their stores are."""

    data_dir: str = "data"
    db_path: str | None = None
    dynamodb_endpoint: str | None = None
    dynamodb_prefix: Prefix = "comanda-"
    aws_region: str | None = None
    corporate_data: str = "CorporateData"
    corporate_log: str = "CorporateLog"


class End(NamedTuple):
    """One end of a move."""

    orders: OrderTransfer
    items: ItemTransfer
    carried: CarriedTransfer
    followed: frozenset[str]
    """The tables whose changes are in the feed."""


@contextlib.asynccontextmanager
async def open_end(kind: Kind, settings: MoveSettings) -> AsyncIterator[End]:
    """An end, for as long as the block lasts. Raises StartupError where it is in use or cannot be had."""
    tables = suite_tables(settings.corporate_data, settings.corporate_log)
    followed = frozenset(name for name, table in tables.items() if table.feed)
    if kind == "dynamodb":
        # Only here: what it needs takes long to load.
        from shared.stores.dynamodb.stores import dynamo_transfer  # noqa: PLC0415

        where = DynamoSettings(
            endpoint=settings.dynamodb_endpoint, region=settings.aws_region, prefix=settings.dynamodb_prefix
        )
        async with dynamo_transfer(where, tables) as parts:
            yield End(*parts, followed)
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
                yield End(moved, SqliteItemTransfer(records), carried, followed)
            finally:
                carried.close()
        finally:
            moved.close()
    finally:
        await records.close()
