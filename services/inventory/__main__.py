"""Starts only the inventory service: `python -m services.inventory`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from services.inventory.inventory import InventoryService
from services.inventory.settings import InventorySettings
from shared.domain.errors import StartupError
from shared.runtime import logs
from shared.runtime.lifecycle import report_startup_error, run_service
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import load_settings, parse_flags
from shared.stores.sqlite.files import make_folder

_NICE = 10
FLAGS = {"--data-dir": "DATA_DIR"}


def main(argv: list[str]) -> int:
    """Reads the settings and runs the service. Returns the exit status."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGTERM, int(parent))
    flags = parse_flags(
        InventorySettings,
        argv,
        prog="python -m services.inventory",
        description="Imports, movements, alerts and reservations of stock.",
        names=FLAGS,
    )
    try:
        settings = load_settings(InventorySettings, flags=flags, environ=os.environ)
        access = settings.build_access()
    except StartupError as error:
        return report_startup_error(error)
    logs.configure_logging(form=settings.log_format, level=settings.log_level, service="inventory")
    warn_of_unknown_settings()

    # On a busy machine, accepting orders has priority.
    os.nice(_NICE)

    async def serve(stop: asyncio.Event) -> None:
        if settings.store == "sqlite":
            make_folder(Path(settings.data_dir))
            make_folder(settings.uploads_folder)
        await InventoryService(settings, access).serve(stop)

    return run_service(serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
