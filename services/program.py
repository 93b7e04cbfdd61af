"""A service as a program: settings, log and life cycle of its process."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from services.settings import NeighbourSettings, ServerSettings
from shared.domain.errors import StartupError
from shared.runtime import logs
from shared.runtime.lifecycle import report_startup_error, run_service
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.runtime.setting_names import warn_of_unknown_settings
from shared.runtime.settings import load_settings, parse_flags
from shared.runtime.state_dump import StateDump

T = TypeVar("T", bound=ServerSettings | NeighbourSettings)
Serve = Callable[[T, asyncio.Event, StateDump], Awaitable[None]]
"""Serves with these settings until the event is set, and gives the dump what it shows of the service."""


def run_program(
    argv: Sequence[str], kind: type[T], serve: Serve[T], *, name: str, description: str, flags: Mapping[str, str]
) -> int:
    """Reads the settings, configures the log, and serves until a signal. Returns the exit status."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGTERM, int(parent))
    given = parse_flags(kind, argv, prog=f"python -m services.{name}", description=description, names=flags)
    try:
        settings = load_settings(kind, flags=given, environ=os.environ)
    except StartupError as error:
        return report_startup_error(error)
    logs.configure_logging(form=settings.log_format, level=settings.log_level, service=name)
    warn_of_unknown_settings()
    dump = StateDump()
    return run_service(lambda stop: serve(settings, stop, dump), dump)
