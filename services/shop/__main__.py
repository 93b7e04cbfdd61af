"""Starts only the shop's service: `python -m services.shop`."""

import asyncio
import os
import sys
from pathlib import Path

from services.program import run_program
from services.shop.settings import ShopSettings
from services.shop.shop import ShopService
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import make_folder

_NICE = 10
FLAGS = {"--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Runs the shop's service. Returns the exit status."""
    description = "Keeps the search index of books and fulfils the purchases of all tenants."
    return run_program(argv, ShopSettings, _serve, name="shop", description=description, flags=FLAGS)


async def _serve(settings: ShopSettings, stop: asyncio.Event, _: StateDump) -> None:
    # On a busy machine, accepting orders has priority.
    os.nice(_NICE)
    access = settings.build_access()
    make_folder(Path(settings.data_dir))
    await ShopService(settings, access, settings.open_book_index()).serve(stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
