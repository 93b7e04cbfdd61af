"""Starts the distributed service alone: `python -m services.distributed --port 7000`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from services.distributed.distributed import Distributed
from services.distributed.read_model import ReadModel
from services.distributed.settings import DistributedSettings
from services.distributed.stock_events import TABLES as STOCK_TABLES
from shared.domain.errors import StartupError, StoreError
from shared.domain.tables import SCORES, USERS, corporate_data
from shared.runtime import logs
from shared.runtime.lifecycle import raise_file_limit, report_startup_error, run_service
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import load_settings, parse_flags
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import StoreFiles, make_folder
from shared.stores.sqlite.order_feed import SqliteOrderFeed
from shared.stores.sqlite.record_feed import SqliteRecordFeed
from shared.stores.sqlite.unlock_wait import wait_until_unlocked

_NICE = 10
FLAGS = {"--host": "DISTRIBUTED_BIND", "-p/--port": "DISTRIBUTED_PORT", "--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Reads the settings, opens the files, serves. Returns the exit status."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGTERM, int(parent))
    flags = parse_flags(
        DistributedSettings,
        argv,
        prog="python -m services.distributed",
        description="Statistics, notifications and events.",
        names=FLAGS,
    )
    try:
        settings = load_settings(DistributedSettings, flags=flags, environ=os.environ)
    except StartupError as error:
        return report_startup_error(error)
    logs.configure_logging(form=settings.log_format, level=settings.log_level, service="distributed")
    warn_of_unknown_settings()

    # Where there is not enough for all, taking orders comes first.
    os.nice(_NICE)

    dump = StateDump()

    async def serve(stop: asyncio.Event) -> None:
        limits = settings.build_limits(document_bytes=settings.max_document_bytes, open_files=raise_file_limit())
        async with open_files(settings, stop) as (read_model, orders, records):
            server = Distributed(settings, read_model, orders, records, limits)
            dump.describe = server.describe_state
            await server.serve(stop)

    return run_service(serve, dump)


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
    tables = [SCORES, USERS, *STOCK_TABLES, corporate_data(settings.corporate_data)]
    records = SqliteRecordFeed(settings.records_file, tables)
    try:
        yield read_model, orders, records
    finally:
        await records.close()
        orders.close()
        read_model.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
