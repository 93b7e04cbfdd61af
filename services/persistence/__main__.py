"""Starts the persistence server alone: `python -m services.persistence --port 6000`."""

import asyncio
import os
import signal
import sys

from services.persistence.persistence import Persistence, tables
from services.persistence.settings import PersistenceSettings
from shared.domain.errors import StartupError, StoreError
from shared.runtime import logs
from shared.runtime.lifecycle import raise_file_limit, report, run
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.runtime.settings import load, parse_flags
from shared.stores.sqlite.files import make_folder
from shared.stores.sqlite.records import SqliteRecordStore

FLAGS = {"--host": "TCP_PERSIST_HOST", "-p/--port": "TCP_PERSIST_PORT", "--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Reads the settings, picks the store, serves. Gives the exit status."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGTERM, int(parent))
    flags = parse_flags(
        PersistenceSettings,
        argv,
        prog="python -m services.persistence",
        description="The persistence server.",
        names=FLAGS,
    )
    try:
        settings = load(PersistenceSettings, flags=flags, environ=os.environ)
    except StartupError as error:
        return report(error)
    logs.configure(form=settings.log_format, level=settings.log_level, service="persistence")

    async def serve(stop: asyncio.Event) -> None:
        limits = settings.limits(document_bytes=settings.max_transaction_bytes, open_files=raise_file_limit())
        store = open_store(settings)
        try:
            await Persistence(settings, store, limits).serve(stop)
        finally:
            await store.close()

    return run(serve)


def open_store(settings: PersistenceSettings) -> SqliteRecordStore:
    """The store on this machine. Raises StartupError when it cannot be had."""
    path = settings.records_file
    make_folder(path.parent)
    try:
        return SqliteRecordStore(path, tables(settings))
    except StoreError as error:
        raise StartupError(
            f"the store {path} cannot be opened: {error.message}",
            hint="check DATA_DIR; a file that is damaged has to be restored from a backup",
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
