"""Runs the servers of the suite as child processes: starts them, restarts what dies, stops all in order."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

import structlog
from msgspec import Struct

from shared.runtime.lifecycle import EXIT_STARTUP, end_cancellation
from shared.runtime.parent import PARENT_PID, READY_FD

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_HEALTHY_SECONDS = 60.0
_AT_ONCE_SECONDS = 2.0


class Server(Struct, frozen=True):
    """One server: its name in the log, the module that `python -m` runs, and its part of the time for a stop."""

    name: str
    module: str
    stop_at: float = 0.0
    """The share of the time after which it is asked to stop; sooner, once all with a smaller share have ended."""
    stop_by: float = 1.0
    """The share of the time after which it is to have ended."""


class Backoff:
    """How long to wait before a restart: twice as long each time, forgotten after a healthy minute."""

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE

    def after(self, uptime: float) -> float:
        """The pause, in seconds, after a run of `uptime` seconds."""
        if uptime >= _HEALTHY_SECONDS:
            self._pause = _FIRST_PAUSE
        pause = self._pause
        self._pause = min(pause * 2, _LONGEST_PAUSE)
        return pause


class Supervisor:
    """Keeps `servers` running until told to stop, which takes at most `shutdown_seconds` for all of them together."""

    def __init__(self, servers: Sequence[Server], *, shutdown_seconds: float) -> None:
        self._servers = servers
        self._shutdown_seconds = shutdown_seconds
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._addresses: dict[str, str] = {}
        """Where each server is that has been ready once."""
        self._ready: dict[str, int] = {}
        """The process ids of the servers that are ready."""
        self._log = structlog.get_logger()

    def find_ready_servers(self) -> list[int]:
        """Returns the process ids of the servers that are ready; others may not handle signals yet."""
        return list(self._ready.values())

    async def run(self, stop: asyncio.Event) -> int:
        """Runs until `stop` is set, or a server cannot start at all. Gives the exit status for the suite.

        A cancellation ends all servers at once.
        """
        keepers = [asyncio.create_task(self._keep(server), name=server.name) for server in self._servers]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        status = 0
        try:
            await asyncio.wait([*keepers, stopped], return_when=asyncio.FIRST_COMPLETED)
            status = EXIT_STARTUP if any(keeper.done() for keeper in keepers) else 0
            for task in (*keepers, stopped):
                task.cancel()
            await asyncio.gather(*keepers, stopped, return_exceptions=True)
            await self._end_in_order()
        except asyncio.CancelledError:
            end_cancellation()
            for task in (*keepers, stopped):
                task.cancel()
            await self._end_at_once()
        return status

    async def _keep(self, server: Server) -> None:
        """Starts a server again whenever it ends; returns only when that is pointless."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        seconds = (server.stop_by - server.stop_at) * self._shutdown_seconds
        while True:
            began = loop.time()
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then
            # stops everything in order.
            ready, announce = os.pipe()
            os.set_blocking(ready, False)
            own = {PARENT_PID: str(os.getpid()), READY_FD: str(announce), "SHUTDOWN_SECONDS": f"{seconds:g}"}
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    server.module,
                    env={**os.environ, **own},
                    pass_fds=[announce],
                    start_new_session=True,
                )
            finally:
                os.close(announce)
                loop.add_reader(ready, self._hear, server, ready)
            self._processes[server.name] = process
            self._log.info("started", server=server.name, pid=process.pid)
            status = await process.wait()
            self._ready.pop(server.name, None)
            if status == EXIT_STARTUP:
                self._log.error("cannot start; its message says why", server=server.name)
                return
            pause = backoff.after(loop.time() - began)
            self._log.warning("died; starting it again", server=server.name, status=status, pause_s=pause)
            await asyncio.sleep(pause)

    def _hear(self, server: Server, ready: int) -> None:
        """Takes in what a server announces, or that it ended before; logs once that all are ready."""
        asyncio.get_running_loop().remove_reader(ready)
        address = os.read(ready, 4096).decode()
        os.close(ready)
        if address:
            self._ready[server.name] = self._processes[server.name].pid
        if address and server.name not in self._addresses:
            self._addresses[server.name] = address
            if len(self._addresses) == len(self._servers):
                self._log.info("ready", **self._addresses)

    async def _end_in_order(self) -> None:
        """Asks servers to stop, each in its turn, and kills what is left when the time is over."""
        began = asyncio.get_running_loop().time()
        ending: dict[Server, asyncio.Task[None]] = {}
        for server in sorted(self._servers, key=lambda one: one.stop_at):
            earlier = [task for other, task in ending.items() if other.stop_at < server.stop_at]
            ending[server] = asyncio.create_task(self._end(server, earlier, began), name=f"end {server.name}")
        await asyncio.gather(*ending.values())

    async def _end(self, server: Server, earlier: Sequence[asyncio.Task[None]], began: float) -> None:
        loop = asyncio.get_running_loop()
        if earlier:
            await asyncio.wait(earlier, timeout=began + server.stop_at * self._shutdown_seconds - loop.time())
        process = self._processes.get(server.name)
        if process is None or process.returncode is not None:
            return
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout_at(began + self._shutdown_seconds):
                await process.wait()
        except TimeoutError:
            self._log.error("did not stop in time; killing it", server=server.name, pid=process.pid)
            _send(process, signal.SIGKILL)
            await process.wait()
        self._log.info("stopped", server=server.name, status=process.returncode)

    async def _end_at_once(self) -> None:
        """Has every server end without finishing what it does, and kills those that do not."""
        alive = [process for process in self._processes.values() if process.returncode is None]
        self._log.warning("stopping_at_once", servers=len(alive))
        for process in alive:
            _send(process, signal.SIGINT)
        try:
            async with asyncio.timeout(_AT_ONCE_SECONDS):
                await asyncio.gather(*(process.wait() for process in alive))
        except TimeoutError:
            for process in alive:
                _send(process, signal.SIGKILL)
            await asyncio.gather(*(process.wait() for process in alive))


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # It may have ended since it was last looked at.
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
