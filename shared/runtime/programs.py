"""The commands of this installation, as somebody types them in the current folder."""

import shutil
import sys
from pathlib import Path


def client_command() -> str:
    """Returns what begins every command: `comanda` where that is installed, or else `python -m clients`."""
    script = _script()
    return f"{_shown(sys.executable)} -m clients" if script is None else _shown(script)


def run_command() -> str:
    """Returns the command that starts every server."""
    script = _script()
    return f"{_shown(sys.executable)} -m services" if script is None else f"{_shown(script)} run"


def server_command(server: str) -> str:
    """Returns the command that starts one server alone."""
    # Without -P a folder `services` in the current folder would be taken for that of the program.
    safe = "" if _script() is None else " -P"
    return f"{_shown(sys.executable)}{safe} -m services.{server}"


def _script() -> str | None:
    """Returns the path of `comanda` in the environment of this process; None where it is not installed."""
    script = Path(sys.executable).with_name("comanda")
    return str(script) if script.exists() else None


def _shown(program: str) -> str:
    """Returns a program by its name where PATH leads to it, or else by its path, from the current folder if below."""
    path = Path(program)
    for name in (path.name, "python"):
        found = shutil.which(name)
        if found is not None and Path(found) == path:
            return name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else program
