"""Starts the persistence server alone: `python -m services.persistence --port 6000`."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Sequence

import structlog

from services.persistence.persistence import Persistence, tables
from services.persistence.settings import PersistenceSettings
from services.program import run_program
from shared.domain.errors import StartupError, StoreError
from shared.runtime.lifecycle import raise_file_limit
from shared.runtime.state_dump import StateDump
from shared.stores.ports.records import RecordStore
from shared.stores.sqlite.files import make_folder
from shared.stores.sqlite.order_positions import saved_change
from shared.stores.sqlite.records import SqliteRecordStore
from shared.stores.sqlite.unlock_wait import wait_until_unlocked

_CREATE_TABLES = "--create-tables"
FLAGS = {"--host": "TCP_PERSIST_BIND", "-p/--port": "TCP_PERSIST_PORT", "--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Runs the persistence server, or only creates the tables of its store. Returns the exit status."""
    return run_program(
        [word for word in argv if word != _CREATE_TABLES],
        PersistenceSettings,
        _create if _CREATE_TABLES in argv else _serve,
        name="persistence",
        description="The persistence server. With --create-tables it makes the store's tables, and ends.",
        flags=FLAGS,
    )


async def _create(settings: PersistenceSettings, _: asyncio.Event, __: StateDump) -> None:
    made = await make_tables(settings)
    sys.stdout.write("".join(f"made {name}\n" for name in made) or "every table is there\n")


async def _serve(settings: PersistenceSettings, stop: asyncio.Event, dump: StateDump) -> None:
    # A document of MAX_TRANSACTION_BYTES can have two million values. The default would look through them a thousand
    # times while it is decoded, and all connections wait for that.
    gc.set_threshold(50_000, 20, 100)
    limits = settings.build_limits(document_bytes=settings.max_transaction_bytes, open_files=raise_file_limit())
    async with open_store(settings, stop) as store:
        server = Persistence(settings, store, limits)
        dump.describe = server.describe_state
        await server.serve(stop)


async def make_tables(settings: PersistenceSettings) -> Sequence[str]:
    """Creates the tables of all servers if the store needs that; returns their names. Raises StartupError."""
    if settings.store == "sqlite":
        return []
    from shared.stores.dynamodb.stores import create_tables  # noqa: PLC0415

    return await create_tables(settings.dynamo_settings(), tables(settings))


@contextlib.asynccontextmanager
async def open_store(settings: PersistenceSettings, stop: asyncio.Event) -> AsyncIterator[RecordStore]:
    """Opens the store that the settings name. Raises StartupError."""
    if settings.store == "dynamodb":
        # Only here: what it needs takes as long to load as the rest of the server to start.
        from shared.stores.dynamodb.stores import dynamo_records  # noqa: PLC0415

        async with dynamo_records(settings.dynamo_settings(), tables(settings)) as opened:
            yield opened
        return
    path = settings.records_file
    make_folder(path.parent)
    await wait_until_unlocked([path], stop, seconds=settings.store_lock_seconds)
    try:
        store = SqliteRecordStore(
            path,
            tables(settings),
            followed=saved_change(settings.distributed_file),
            cache_bytes=settings.record_cache_mib * 2**20,
        )
    except StoreError as error:
        raise StartupError(
            f"the store {path} cannot be opened: {error.message}",
            hint="check DATA_DIR; a file that is damaged has to be restored from a backup",
        ) from error
    if store.gap is not None:
        fields = {"changes_last": store.gap.newest, "next": store.gap.next}
        structlog.get_logger().error("store_files_disagree", reasons=["follower_ahead"], file=path.name, **fields)
    try:
        yield store
    finally:
        await store.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
