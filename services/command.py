"""The command `comanda`: every command of the clients, and `run`, which starts the servers."""

import os
import sys
from collections.abc import MutableMapping

from shared.runtime.settings import read_settings_files


def main() -> int:
    """Runs the command that was typed. Returns the exit status."""
    words = sys.argv[1:]
    if words[:1] == ["run"]:
        # Before the other commands are loaded: the suite's first process lives as long as the suite.
        return run(*words[1:])
    from clients.cli.app import app  # noqa: PLC0415
    from clients.cli.app import main as run_client  # noqa: PLC0415

    app.command(run, name="run", help="Start every server of the suite; Ctrl-C stops it.")
    return run_client(words)


def run(*words: str) -> int:
    """Starts every server, as `python -m services` does. Returns the exit status."""
    # `python -m`, by which each server is started, would look into the current folder first: somebody's own `shared`
    # or `services` there would be taken for those of this program.
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
    return run_suite(list(words))


def choose_stage(environ: MutableMapping[str, str]) -> None:
    """Sets STAGE=dev where nothing says who may show who they are: the gateway would refuse to start.

    The project's `.env.local` says the same; in any other folder there is no such file.
    """
    sources = (environ, *(values for _, values in read_settings_files(environ)))
    if not any(source.get(name) for source in sources for name in ("STAGE", "JWT_SECRET")):
        environ["STAGE"] = "dev"
