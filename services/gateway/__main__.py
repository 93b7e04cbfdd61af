"""Starts the gateway alone: `python -m services.gateway --port 5000`."""

import asyncio
import gc
import os
import signal
import sys

from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from shared.domain.errors import StartupError
from shared.runtime import logs
from shared.runtime.lifecycle import raise_file_limit, report_startup_error, run_service
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import load_settings, parse_flags
from shared.runtime.state_dump import StateDump

FLAGS = {"--host": "MAIN_SERVER_BIND", "-p/--port": "MAIN_SERVER_PORT"}


def main(argv: list[str]) -> int:
    """Reads the settings, serves. Gives the exit status."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGTERM, int(parent))
    flags = parse_flags(
        GatewaySettings, argv, prog="python -m services.gateway", description="The HTTP API.", names=FLAGS
    )
    try:
        settings = load_settings(GatewaySettings, flags=flags, environ=os.environ)
    except StartupError as error:
        return report_startup_error(error)
    logs.configure_logging(form=settings.log_format, level=settings.log_level, service="gateway")
    warn_of_unknown_settings()
    # A request makes dozens of small objects without cycles: the default would look through them every few requests.
    gc.set_threshold(50_000, 20, 100)
    raise_file_limit()

    dump = StateDump()

    async def serve(stop: asyncio.Event) -> None:
        gateway = Gateway(settings)
        dump.describe = gateway.describe_state
        await gateway.serve(stop)

    return run_service(serve, dump)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
