"""How a service starts and ends: uvloop, signals, exit status, and start-up errors in one line."""

import asyncio
import errno
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
"""Exit status of a process that could not start for a reason that a restart will not mend."""

_CLOSE_SHARE = 0.1
_LONGEST_CLOSE_SECONDS = 1.0


def run(service: Callable[[asyncio.Event], Awaitable[None]], dump: StateDump | None = None) -> int:
    """Runs `service` until it ends; SIGTERM and SIGINT set the event it is given, and a second one cancels it.

    A service that is cancelled ends at once. One that a supervisor has started is cancelled by SIGINT alone, which its
    supervisor sends: a service manager may send SIGTERM to every process beside the one from the supervisor.
    SIGUSR2 writes a snapshot to the log, with the fields of `dump`.

    Gives the exit status: 0, 1 for a fault (which is in the log), 2 for a StartupError (one line on
    standard error).
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        supervised = PARENT_PID in os.environ

        def receive(number: int) -> None:
            at_once = number == signal.SIGINT if supervised else stop.is_set()
            stop.set()
            if at_once:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, receive, number)
        with (dump or StateDump()).on_signal():
            await service(stop)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except StartupError as error:
        return report(error)
    except asyncio.CancelledError:
        structlog.get_logger().warning("stopped_at_once")
    except Exception:
        structlog.get_logger().exception("the service failed")
        return 1
    return 0


def end_cancellation() -> None:
    """Has the running task count as not cancelled any more, since it goes on in spite of its cancellation.

    Otherwise no time-out within it would be told from that cancellation in Python 3.11.2, and end it after all.
    """
    task = asyncio.current_task()
    assert task is not None
    while task.uncancel():
        pass


def closing_seconds(shutdown_seconds: float) -> float:
    """Returns how much of the time for a stop belongs to closing connections, after the work is done."""
    return min(shutdown_seconds * _CLOSE_SHARE, _LONGEST_CLOSE_SECONDS)


def report(error: StartupError) -> int:
    """Tells why the process cannot start, in one line; gives the exit status."""
    hint = f". To mend it: {error.hint}" if error.hint else ""
    sys.stderr.write(f"error: {error.message}{hint}\n")
    return EXIT_STARTUP


def bind_error(error: OSError, host: str, port: int, setting: str) -> StartupError:
    """Why a port cannot be listened on; `setting` is where the port comes from."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return StartupError(
                f"{where} is in use by another program", hint=f"stop that program, or choose another {setting}"
            )
        case errno.EACCES:
            return StartupError(f"{where} may not be used by this user", hint=f"choose {setting} above 1023")
        case _:
            return StartupError(f"cannot listen on {where}: {error.strerror or error}", hint="check the host's name")


def raise_file_limit() -> int:
    """Raises the limit on open files as far as it goes without privileges; gives the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
