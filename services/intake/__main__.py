"""Starts the intake alone: `python -m services.intake --host :: --port 8888 --workers 3`."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import AsyncIterator

from services.intake.index_keeper import keep_index
from services.intake.intake import Intake
from services.intake.settings import IntakeSettings
from services.program import run_program
from shared.domain.errors import StartupError, StoreError
from shared.runtime.lifecycle import raise_file_limit
from shared.runtime.state_dump import StateDump
from shared.stores.ports.orders import OrderStore, Recovery
from shared.stores.sqlite.files import StoreFiles, make_folder
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.unlock_wait import wait_until_unlocked
from workers.child import ChildConfig, WorkersStore
from workers.handlers import add_handlers_folder, load_handler
from workers.worker import WorkPolicy

FLAGS = {"--host": "SERVER_BIND", "-p/--port": "SERVER_PORT", "--workers": "WORKER_COUNT", "--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Runs the intake. Returns the exit status."""
    return run_program(argv, IntakeSettings, _serve, name="intake", description="The order intake.", flags=FLAGS)


async def _serve(settings: IntakeSettings, stop: asyncio.Event, dump: StateDump) -> None:
    # Orders come in batches of thousands of small objects without cycles: the default threshold would
    # look through them dozens of times a batch.
    gc.set_threshold(50_000, 20, 100)
    add_handlers_folder()
    await load_handler(settings.order_handler, settings.kit).close()
    limits = settings.build_limits(document_bytes=settings.max_document_bytes, open_files=raise_file_limit())
    async with open_store(settings, stop) as (store, recovery, workers_store):
        intake = Intake(settings, store, recovery, limits, child_config(settings, workers_store))
        dump.describe, dump.find_children = intake.describe_state, intake.find_workers
        await intake.serve(stop)


@contextlib.asynccontextmanager
async def open_store(
    settings: IntakeSettings, stop: asyncio.Event
) -> AsyncIterator[tuple[OrderStore, Recovery, WorkersStore]]:
    """The store that the settings name, what it holds, and where workers find it.

    Raises StartupError when it cannot be had.
    """
    if settings.store == "dynamodb":
        # Only here: what it needs takes as long to load as the rest of the server to start.
        from shared.stores.dynamodb.stores import dynamo_orders  # noqa: PLC0415

        async with dynamo_orders(
            settings.dynamo_settings(),
            lease_seconds=settings.server_lease_seconds,
            request_id_seconds=settings.request_id_seconds,
        ) as (orders, work):
            yield orders, await orders.recover(), work
        return
    files = StoreFiles(settings.orders_file)
    make_folder(files.orders.parent)
    await wait_until_unlocked([files.orders, files.progress], stop, seconds=settings.store_lock_seconds)
    try:
        reserve = settings.disk_reserve_mib * 2**20
        store = SqliteOrderStore(
            files,
            disk_reserve=reserve,
            followers=settings.list_followers(),
            request_id_seconds=settings.request_id_seconds,
            outbox_days=settings.outbox_days,
        )
        recovery = await store.recover()
    except StoreError as error:
        raise StartupError(
            f"the store {files.orders} cannot be opened: {error.message}",
            hint="check DATA_DIR and DB_PATH; a file that is damaged has to be restored from a backup",
        ) from error
    try:
        async with keep_index(files):
            yield store, recovery, files
    finally:
        await store.close()


def child_config(settings: IntakeSettings, store: WorkersStore) -> ChildConfig:
    """Returns the configuration of the workers, from the intake's settings."""
    policy = WorkPolicy(
        concurrency=settings.worker_concurrency,
        document_bytes=settings.worker_document_bytes,
        max_attempts=settings.max_attempts,
        retry_seconds=settings.retry_seconds,
        order_timeout=settings.order_timeout_seconds,
        lease_seconds=settings.lease_seconds,
        attempts_kept=settings.attempts_kept,
        traceback_bytes=settings.max_traceback_bytes,
    )
    return ChildConfig(
        parent=os.getpid(),
        store=store,
        handler=settings.order_handler,
        kit=settings.kit,
        shutdown_seconds=settings.shutdown_seconds,
        log_format=settings.log_format,
        log_level=settings.log_level,
        traces=settings.otel_exporter_otlp_endpoint,
        policy=policy,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
