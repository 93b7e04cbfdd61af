"""The commands of this installation, as a user types them in the current folder."""

import shutil
import sys
from pathlib import Path


def client_command() -> str:
    """Returns the prefix of client commands: `comanda` if it is installed, otherwise `python -m clients`."""
    script = _find_script()
    return f"{_shorten_path(sys.executable)} -m clients" if script is None else _shorten_path(script)


def run_command() -> str:
    """Returns the command that starts all servers."""
    script = _find_script()
    return f"{_shorten_path(sys.executable)} -m services" if script is None else f"{_shorten_path(script)} run"


def server_command(server: str) -> str:
    """Returns the command that starts only this server."""
    # Without -P, a folder `services` in the current folder would hide that of the program.
    safe = "" if _find_script() is None else " -P"
    return f"{_shorten_path(sys.executable)}{safe} -m services.{server}"


def _find_script() -> str | None:
    """Returns the path of `comanda` in the environment of this process; None if it is not installed."""
    script = Path(sys.executable).with_name("comanda")
    return str(script) if script.exists() else None


def _shorten_path(program: str) -> str:
    """Returns the name of a program that PATH finds; otherwise its path, relative if it is in the current folder."""
    path = Path(program)
    for name in (path.name, "python"):
        found = shutil.which(name)
        if found is not None and Path(found) == path:
            return name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else program
