"""Starts only the lake's service: `python -m services.lake`."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

from services.lake.settings import LakeSettings
from services.program import run_program
from shared.domain.errors import StartupError
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import StoreFiles, make_folder
from shared.stores.sqlite.order_feed import SqliteOrderFeed

_NICE = 10
FLAGS = {"--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Runs the lake's service. Returns the exit status."""
    description = "Writes orders, purchases, books, stock and scores into files that SQL reads."
    return run_program(argv, LakeSettings, _serve, name="lake", description=description, flags=FLAGS)


async def _serve(settings: LakeSettings, stop: asyncio.Event, _: StateDump) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise StartupError(
            "LAKE=on needs the package pyarrow, which is not installed", hint="pip install 'comanda[lake]', or LAKE=off"
        )
    # Loads pyarrow, which only an installation with a lake has.
    from services.lake.lake import LakeService  # noqa: PLC0415

    # On a busy machine, accepting orders has priority.
    os.nice(_NICE)
    access = settings.build_access()
    make_folder(Path(settings.data_dir))
    # The orders of DynamoDB have no feed.
    orders = SqliteOrderFeed(StoreFiles(settings.orders_file)) if settings.store == "sqlite" else None
    try:
        await LakeService(settings, access, orders).serve(stop)
    finally:
        if orders is not None:
            orders.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
