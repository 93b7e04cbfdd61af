"""Starts the gateway alone: `python -m services.gateway --port 5000`."""

import asyncio
import gc
import sys

from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from services.program import run_program
from shared.runtime.lifecycle import raise_file_limit
from shared.runtime.state_dump import StateDump

FLAGS = {"--host": "MAIN_SERVER_BIND", "-p/--port": "MAIN_SERVER_PORT"}


def main(argv: list[str]) -> int:
    """Runs the gateway. Returns the exit status."""
    return run_program(argv, GatewaySettings, _serve, name="gateway", description="The HTTP API.", flags=FLAGS)


async def _serve(settings: GatewaySettings, stop: asyncio.Event, dump: StateDump) -> None:
    # A request makes dozens of small objects without cycles: the default would look through them every few requests.
    gc.set_threshold(50_000, 20, 100)
    raise_file_limit()
    gateway = Gateway(settings)
    dump.describe = gateway.describe_state
    await gateway.serve(stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
