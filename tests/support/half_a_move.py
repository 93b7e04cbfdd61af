"""`python -m tests.support.half_a_move`: a move from SQLite to DynamoDB that is killed after its first page."""

import asyncio
import os
import signal
from pathlib import Path

import clients.tools.migrate.migration as moving
from clients.tools.migrate.migration import ProgressFile, begin_migration, copy_contents, read_contents
from clients.tools.migrate.open_stores import MigrationSettings, open_store
from shared.runtime.settings import load_settings


async def main() -> None:
    """Copies a page of 100 orders, and dies."""
    moving._PAGE = 100
    settings = load_settings(MigrationSettings, flags={}, environ=os.environ)
    file = ProgressFile(Path(settings.data_dir) / "migration.json")
    async with open_store("sqlite", settings) as source, open_store("dynamodb", settings) as target:
        mark = await begin_migration(source, target, ("sqlite", "dynamodb"), file)
        had = await read_contents(source, lambda _: None)
        await copy_contents(source, target, mark, file, had, lambda _: os.kill(os.getpid(), signal.SIGKILL))


if __name__ == "__main__":
    asyncio.run(main())
