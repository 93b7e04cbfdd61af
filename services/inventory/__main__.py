"""Starts only the inventory service: `python -m services.inventory`."""

import asyncio
import os
import sys
from pathlib import Path

from services.inventory.inventory import InventoryService
from services.inventory.settings import InventorySettings
from services.program import run_program
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import make_folder

_NICE = 10
FLAGS = {"--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Runs the inventory service. Returns the exit status."""
    description = "Imports, movements, alerts and reservations of stock."
    return run_program(argv, InventorySettings, _serve, name="inventory", description=description, flags=FLAGS)


async def _serve(settings: InventorySettings, stop: asyncio.Event, _: StateDump) -> None:
    # On a busy machine, accepting orders has priority.
    os.nice(_NICE)
    access = settings.build_access()
    if settings.store == "sqlite":
        make_folder(Path(settings.data_dir))
        make_folder(settings.uploads_folder)
    await InventoryService(settings, access).serve(stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
