"""Starts the intake alone: `python -m services.intake --host :: --port 8888 --workers 3`."""

import asyncio
import gc
import os
import signal
import sys

from services.intake.intake import Intake
from services.intake.settings import IntakeSettings
from shared.domain.errors import StartupError, StoreError
from shared.runtime import logs
from shared.runtime.lifecycle import raise_file_limit, report, run
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.runtime.settings import load, parse_flags
from shared.stores.ports import Recovery
from shared.stores.sqlite.files import Files, make_folder
from shared.stores.sqlite.orders import SqliteOrderStore
from workers.child import ChildConfig
from workers.handlers import load_handler
from workers.worker import WorkPolicy

FLAGS = {"--host": "SERVER_HOST", "-p/--port": "SERVER_PORT", "--workers": "WORKER_COUNT", "--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Reads the settings, picks the store, serves. Gives the exit status."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGTERM, int(parent))
    flags = parse_flags(
        IntakeSettings, argv, prog="python -m services.intake", description="The order intake.", names=FLAGS
    )
    try:
        settings = load(IntakeSettings, flags=flags, environ=os.environ)
    except StartupError as error:
        return report(error)
    logs.configure(form=settings.log_format, level=settings.log_level, service="intake")
    # Orders come in batches of thousands of small objects without cycles: the default threshold would
    # look through them dozens of times a batch.
    gc.set_threshold(50_000, 20, 100)

    async def serve(stop: asyncio.Event) -> None:
        load_handler(settings.order_handler, processing_seconds=settings.processing_seconds)
        limits = settings.limits(document_bytes=settings.max_document_bytes, open_files=raise_file_limit())
        store, recovery = await open_store(Files(settings.orders_file), settings.disk_reserve_mib * 2**20)
        try:
            await Intake(settings, store, recovery, limits, child_config(settings)).serve(stop)
        finally:
            await store.close()

    return run(serve)


async def open_store(files: Files, disk_reserve: int) -> tuple[SqliteOrderStore, Recovery]:
    """The store on this machine, and what it holds. Raises StartupError when it cannot be had."""
    make_folder(files.orders.parent)
    try:
        store = SqliteOrderStore(files, disk_reserve=disk_reserve)
        return store, await store.recover()
    except StoreError as error:
        raise StartupError(
            f"the store {files.orders} cannot be opened: {error.message}",
            hint="check DATA_DIR and DB_PATH; a file that is damaged has to be restored from a backup",
        ) from error


def child_config(settings: IntakeSettings) -> ChildConfig:
    """What the intake's settings mean for its workers."""
    policy = WorkPolicy(
        concurrency=settings.worker_concurrency,
        max_attempts=settings.max_attempts,
        retry_seconds=settings.retry_seconds,
        order_timeout=settings.order_timeout_seconds,
        lease_seconds=settings.lease_seconds,
    )
    return ChildConfig(
        parent=os.getpid(),
        db_path=str(settings.orders_file),
        handler=settings.order_handler,
        processing_seconds=settings.processing_seconds,
        shutdown_seconds=settings.shutdown_seconds,
        log_format=settings.log_format,
        log_level=settings.log_level,
        policy=policy,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
