"""Starts the whole suite on this machine: `python -m services`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal

from msgspec import Struct

from services.settings import LakeSwitch
from services.supervisor import ServerProcess, Supervisor
from shared.domain.errors import StartupError
from shared.runtime import logs
from shared.runtime.lifecycle import report_startup_error, run_service
from shared.runtime.programs import run_command
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import Seconds, load_settings, parse_flags
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.files import make_folder

# Requests of the gateway need the other servers, and handlers need the records. Short requests end at once. Long ones
# (uploads) only need the persistence server, so that handlers finish at the same time.
_FRONT_BY, _INTAKE_AT, _STORES_AT, _STORES_BY = 0.85, 0.05, 0.85, 0.95
SERVERS = (
    ServerProcess("persistence", "services.persistence", stop_at=_STORES_AT, stop_by=_STORES_BY),
    ServerProcess("intake", "services.intake", stop_at=_INTAKE_AT, stop_by=_FRONT_BY),
    ServerProcess("distributed", "services.distributed", stop_at=_STORES_AT, stop_by=_STORES_BY),
    ServerProcess("inventory", "services.inventory", stop_by=_FRONT_BY),
    ServerProcess("shop", "services.shop", stop_by=_FRONT_BY),
    ServerProcess("gateway", "services.gateway", stop_by=_FRONT_BY),
)
"""All servers in the order of their start, with the share of the stop time that each one has."""

LAKE = ServerProcess("lake", "services.lake", stop_by=_FRONT_BY)
"""The server that runs with LAKE=on."""


class SuiteSettings(Struct, frozen=True):
    """Settings of the supervisor. Each server reads its own settings."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None
    shutdown_seconds: Seconds = 10.0
    log_format: logs.LogFormat = "console"
    log_level: logs.LogLevel = "info"
    lake: LakeSwitch = "off"


def main(argv: list[str]) -> int:
    """Reads the settings and runs the supervisor. Returns the exit status."""
    # Only --help: flags of one server have no meaning for the others.
    parse_flags(SuiteSettings, argv, prog=run_command(), description="Every server of the suite.", names={})
    try:
        settings = load_settings(SuiteSettings, flags={}, environ=os.environ)
    except StartupError as error:
        return report_startup_error(error)
    logs.configure_logging(form=settings.log_format, level=settings.log_level, service="suite")
    warn_of_unknown_settings()
    status = 0
    dump = StateDump()

    async def serve(stop: asyncio.Event) -> None:
        nonlocal status
        if settings.store == "sqlite":
            # Checked once here, to get one message instead of one from each server.
            make_folder(Path(settings.data_dir))
            if settings.db_path:
                make_folder(Path(settings.db_path).parent)
        # The distributed service reads the files of this machine.
        servers = [one for one in SERVERS if settings.store == "sqlite" or one.name != "distributed"]
        if settings.lake == "on":
            servers.append(LAKE)
        supervisor = Supervisor(servers, shutdown_seconds=settings.shutdown_seconds)
        dump.find_children = supervisor.find_ready_servers
        status = await supervisor.run(stop)

    return run_service(serve, dump) or status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
