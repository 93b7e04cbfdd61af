"""Starts the distributed service alone: `python -m services.distributed --port 7000`."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

from services.distributed.distributed import Distributed
from services.distributed.read_model import ReadModel
from services.distributed.settings import DistributedSettings
from services.distributed.stock_events import TABLES as STOCK_TABLES
from services.program import run_program
from shared.domain.errors import StartupError, StoreError
from shared.domain.tables import PURCHASES, SCORES, USERS, corporate_data
from shared.runtime.lifecycle import raise_file_limit
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import StoreFiles, make_folder
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.record_feed import SqliteRecordFeed
from shared.stores.sqlite.unlock_wait import wait_until_unlocked

_NICE = 10
FLAGS = {"--host": "DISTRIBUTED_BIND", "-p/--port": "DISTRIBUTED_PORT", "--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Runs the distributed service. Returns the exit status."""
    description = "Statistics, notifications and events."
    return run_program(argv, DistributedSettings, _serve, name="distributed", description=description, flags=FLAGS)


async def _serve(settings: DistributedSettings, stop: asyncio.Event, dump: StateDump) -> None:
    # On a busy machine, accepting orders has priority.
    os.nice(_NICE)
    limits = settings.build_limits(document_bytes=settings.max_document_bytes, open_files=raise_file_limit())
    async with open_files(settings, stop) as (read_model, orders, records):
        server = Distributed(settings, read_model, orders, records, limits)
        dump.describe = server.describe_state
        await server.serve(stop)


@contextlib.asynccontextmanager
async def open_files(
    settings: DistributedSettings, stop: asyncio.Event
) -> AsyncIterator[tuple[ReadModel, SqliteOrderFeed, SqliteRecordFeed]]:
    """Returns the service's own file and the feeds it follows. Raises StartupError."""
    path = settings.distributed_file
    make_folder(path.parent)
    await wait_until_unlocked([path], stop, seconds=settings.store_lock_seconds)
    try:
        read_model = ReadModel(
            path,
            max_events=settings.max_events,
            event_seconds=settings.event_seconds,
            max_notifications=settings.max_notifications,
            keep_notifications_days=settings.keep_notifications_days,
            max_products=settings.max_products,
        )
    except StoreError as error:
        raise StartupError(
            f"the store {path} cannot be opened: {error.message}",
            hint="check DATA_DIR; a file that is damaged has to be restored from a backup",
        ) from error
    orders = SqliteOrderFeed(StoreFiles(settings.orders_file))
    tables = [SCORES, USERS, PURCHASES, *STOCK_TABLES, corporate_data(settings.corporate_data)]
    records = SqliteRecordFeed(settings.records_file, tables)
    try:
        yield read_model, orders, records
    finally:
        await records.close()
        orders.close()
        read_model.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
