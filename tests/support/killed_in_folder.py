"""`python -m tests.support.killed_in_folder FOLDER PORT`: imports a folder, and dies before a file is filed away."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import services.inventory.folder as module
from clients.persistence import PersistenceClient


def die(folder: Path, name: str, fingerprint: Any, outcome: Any) -> None:
    """Ends the process as a power switch would."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path, port: int) -> None:
    """Imports the first file that is there, and dies."""
    module._move_file = die
    async with PersistenceClient("127.0.0.1", port) as client:
        await module.FolderImporter(client, folder, max_bytes=2**20).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
