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
from shared.runtime.programs import run_command
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import Seconds, load, parse_flags
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import make_folder

# The gateway's requests need the others, and handlers need the records; short requests end within a moment, and long
# ones (uploads) need the persistence server alone, so that handlers finish beside them.
_FRONT_BY, _INTAKE_AT, _STORES_AT, _STORES_BY = 0.85, 0.05, 0.85, 0.95
SERVERS = (
    Server("persistence", "services.persistence", stop_at=_STORES_AT, stop_by=_STORES_BY),
    Server("intake", "services.intake", stop_at=_INTAKE_AT, stop_by=_FRONT_BY),
    Server("distributed", "services.distributed", stop_at=_STORES_AT, stop_by=_STORES_BY),
    Server("inventory", "services.inventory", stop_by=_FRONT_BY),
    Server("gateway", "services.gateway", stop_by=_FRONT_BY),
)
"""Every server, in the order of starting, with its part of the time that a stop takes."""


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
    parse_flags(SuiteSettings, argv, prog=run_command(), description="Every server of the suite.", names={})
    try:
        settings = load(SuiteSettings, flags={}, environ=os.environ)
    except StartupError as error:
        return report(error)
    logs.configure(form=settings.log_format, level=settings.log_level, service="suite")
    warn_of_unknown_settings()
    status = 0
    dump = StateDump()

    async def serve(stop: asyncio.Event) -> None:
        nonlocal status
        if settings.store == "sqlite":
            # Checked here once, for one message instead of one from each server.
            make_folder(Path(settings.data_dir))
            if settings.db_path:
                make_folder(Path(settings.db_path).parent)
        # Events are read from the files of this machine.
        servers = [one for one in SERVERS if settings.store == "sqlite" or one.name != "distributed"]
        supervisor = Supervisor(servers, shutdown_seconds=settings.shutdown_seconds)
        dump.find_children = supervisor.find_ready_servers
        status = await supervisor.run(stop)

    return run(serve, dump) or status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
