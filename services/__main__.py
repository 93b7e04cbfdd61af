"""Starts the whole suite on this machine: `python -m services`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal

from msgspec import Struct

from services.supervisor import Server, Supervisor
from shared.domain.errors import StartupError
from shared.runtime import logs
from shared.runtime.lifecycle import report, run
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import Seconds, load, parse_flags
from shared.stores.sqlite.files import make_folder

SERVERS = (
    Server("persistence", "services.persistence"),
    Server("intake", "services.intake"),
    Server("distributed", "services.distributed"),
    Server("inventory", "services.inventory"),
    Server("gateway", "services.gateway"),
)
"""Every server, in the order of starting."""


class SuiteSettings(Struct, frozen=True):
    """What the supervisor itself needs to know; each server reads its own settings."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None
    shutdown_seconds: Seconds = 10.0
    log_format: logs.LogFormat = "console"
    log_level: logs.LogLevel = "info"


def main(argv: list[str]) -> int:
    """Reads the settings and supervises. Gives the exit status."""
    # None but --help: a flag of one server means nothing to the others.
    parse_flags(SuiteSettings, argv, prog="python -m services", description="Every server of the suite.", names={})
    try:
        settings = load(SuiteSettings, flags={}, environ=os.environ)
    except StartupError as error:
        return report(error)
    logs.configure(form=settings.log_format, level=settings.log_level, service="suite")
    warn_of_unknown_settings()
    status = 0

    async def serve(stop: asyncio.Event) -> None:
        nonlocal status
        if settings.store == "sqlite":
            # Checked here once, for one message instead of one from each server.
            make_folder(Path(settings.data_dir))
            if settings.db_path:
                make_folder(Path(settings.db_path).parent)
        # Events are read from the files of this machine.
        servers = [one for one in SERVERS if settings.store == "sqlite" or one.name != "distributed"]
        status = await Supervisor(servers, shutdown_seconds=settings.shutdown_seconds).run(stop)

    return run(serve) or status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
