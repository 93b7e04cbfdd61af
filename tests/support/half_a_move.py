"""`python -m tests.support.half_a_move`: a move from SQLite to DynamoDB that is killed after its first page."""

import asyncio
import os
import signal
from pathlib import Path

import clients.tools.migrate.move as moving
from clients.tools.migrate.ends import MoveSettings, open_end
from clients.tools.migrate.move import MarkFile, begin, contents, copy
from shared.runtime.settings import load_settings


async def main() -> None:
    """Copies a page of 100 orders, and dies."""
    moving._PAGE = 100
    settings = load_settings(MoveSettings, flags={}, environ=os.environ)
    file = MarkFile(Path(settings.data_dir) / "migration.json")
    async with open_end("sqlite", settings) as source, open_end("dynamodb", settings) as target:
        mark = await begin(source, target, ("sqlite", "dynamodb"), file)
        had = await contents(source, lambda _: None)
        await copy(source, target, mark, file, had, lambda _: os.kill(os.getpid(), signal.SIGKILL))


if __name__ == "__main__":
    asyncio.run(main())
