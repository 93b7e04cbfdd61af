"""The command `comanda`: all commands of the clients, and `run`, which starts the servers."""

import os
import sys
from collections.abc import MutableMapping

from shared.runtime.settings import read_settings_files


def main() -> int:
    """Runs the command of the command line. Returns the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        # Before the client commands are loaded: the process lives as long as the suite, and would keep their memory.
        return start_suite(*arguments[1:])
    from clients.cli.app import app  # noqa: PLC0415
    from clients.cli.app import main as run_client  # noqa: PLC0415

    app.command(start_suite, name="run", help="Start every server of the suite; Ctrl-C stops it.")
    return run_client(arguments)


def start_suite(*arguments: str) -> int:
    """Starts every server, as `python -m services` does. Returns the exit status."""
    # `python -m`, which starts each server, searches the current folder first: a folder `shared` or `services` there
    # would hide those of this program.
    os.environ["PYTHONSAFEPATH"] = "1"
    choose_stage(os.environ)
    try:
        from services.__main__ import main as run_suite  # noqa: PLC0415 - a client-only installation cannot
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"error: servers need the package {error.name}, which is not installed "
            "(install all of Comanda; docs/CLIENTS.md says what a client-only installation can do)\n"
        )
        return 2
    return run_suite(list(arguments))


def choose_stage(environ: MutableMapping[str, str]) -> None:
    """Sets STAGE=dev if no setting decides how users authenticate; the gateway would refuse to start.

    `.env.local` of the project does the same, but other folders have no such file.
    """
    sources = (environ, *(values for _, values in read_settings_files(environ)))
    if not any(source.get(name) for source in sources for name in ("STAGE", "JWT_KEYS", "JWT_SECRET")):
        environ["STAGE"] = "dev"
