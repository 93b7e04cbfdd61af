"""Starts and stops services: event loop, signals, exit status, and start-up errors in one line."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop

from shared.domain.errors import StartupError
from shared.runtime.parent import PARENT_PID
from shared.runtime.state_dump import StateDump

EXIT_STARTUP = 2
"""Exit status after an error at the start that a restart cannot resolve."""

_CLOSE_SHARE = 0.1
_LONGEST_CLOSE_SECONDS = 1.0


def run_service(service: Callable[[asyncio.Event], Awaitable[None]], dump: StateDump | None = None) -> int:
    """Runs `service` until it ends. SIGTERM and SIGINT set its event, and a second signal cancels it.

    A cancelled service ends at once. Under a supervisor only SIGINT, which the supervisor sends, cancels it: a service
    manager may send SIGTERM to every process in addition to the supervisor's. SIGUSR2 writes a snapshot to the log,
    with the fields of `dump`.

    Returns the exit status: 0; 1 after an error, which is logged; 2 after a StartupError, which is one line on standard
    error.
    """

    async def serve_until_signal() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        supervised = PARENT_PID in os.environ

        def handle_signal(number: int) -> None:
            at_once = number == signal.SIGINT if supervised else stop.is_set()
            stop.set()
            if at_once:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, handle_signal, number)
        with (dump or StateDump()).on_signal():
            await service(stop)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_until_signal())
    except StartupError as error:
        return report_startup_error(error)
    except asyncio.CancelledError:
        structlog.get_logger().warning("stopped_at_once")
    except Exception:
        structlog.get_logger().exception("service_failed")
        return 1
    return 0


def end_cancellation() -> None:
    """Clears the cancellation of the running task, which continues in spite of it.

    In Python 3.11.2, time-outs in the task would otherwise be taken for the cancellation and end the task.
    """
    task = asyncio.current_task()
    assert task is not None
    while task.uncancel():
        pass


def closing_seconds(shutdown_seconds: float) -> float:
    """Returns the part of the stop time that is reserved for closing connections."""
    return min(shutdown_seconds * _CLOSE_SHARE, _LONGEST_CLOSE_SECONDS)


def report_startup_error(error: StartupError) -> int:
    """Writes the reason in one line to standard error. Returns the exit status."""
    hint = f". To fix it: {error.hint}" if error.hint else ""
    sys.stderr.write(f"error: {error.message}{hint}\n")
    return EXIT_STARTUP


def raise_file_limit() -> int:
    """Raises the limit of open files to the maximum without privileges. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
