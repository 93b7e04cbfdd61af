"""Where the server is: flags, the environment, the settings file."""

import os
from pathlib import Path
from typing import Annotated

import dotenv
from cyclopts import Parameter

from clients.errors import WrongUsage

DEFAULT_PORT = 8888

Host = Annotated[str | None, Parameter(help="The server's name or address; else SERVER_HOST.")]
Port = Annotated[int | None, Parameter(alias="-p", help="The server's port; else SERVER_PORT.")]


def target(host: str | None, port: int | None) -> tuple[str, int]:
    """Host and port to connect to. Raises WrongUsage for what is no port.

    An address that means "everywhere" to a server means this machine to a client.
    """
    file = dotenv.dotenv_values(Path(os.environ.get("ENV_FILE") or ".env.local"))
    chosen = host or os.environ.get("SERVER_HOST") or file.get("SERVER_HOST") or "localhost"
    if chosen in ("::", "0.0.0.0"):
        chosen = "localhost"
    if port is not None:
        return chosen, _port("--port", str(port))
    return chosen, _port("SERVER_PORT", os.environ.get("SERVER_PORT") or file.get("SERVER_PORT") or str(DEFAULT_PORT))


def _port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise WrongUsage(f"{name} {text} is not a port", hint="a port is a number from 1 to 65535")
    return int(text)
