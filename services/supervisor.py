"""Runs the servers of the suite as child processes: starts them, restarts what dies, stops all in order."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import structlog
from msgspec import Struct

from shared.runtime.lifecycle import EXIT_STARTUP
from shared.runtime.parent import PARENT_PID

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_HEALTHY_SECONDS = 60.0
_GRACE_SECONDS = 5.0


class Server(Struct, frozen=True):
    """One server: its name in the log, and the module that `python -m` runs."""

    name: str
    module: str


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
    """Keeps `servers` running until told to stop; they are stopped in the reverse order."""

    def __init__(self, servers: Sequence[Server], *, shutdown_seconds: float) -> None:
        self._servers = servers
        self._patience = shutdown_seconds + _GRACE_SECONDS
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._log = structlog.get_logger()

    async def run(self, stop: asyncio.Event) -> int:
        """Runs until `stop` is set, or a server cannot start at all. Gives the exit status for the suite."""
        keepers = [asyncio.create_task(self._keep(server), name=server.name) for server in self._servers]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([*keepers, stopped], return_when=asyncio.FIRST_COMPLETED)
        status = EXIT_STARTUP if any(keeper.done() for keeper in keepers) else 0
        stopped.cancel()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, stopped, return_exceptions=True)
        for server in reversed(self._servers):
            await self._end(server)
        return status

    async def _keep(self, server: Server) -> None:
        """Starts a server again whenever it ends; returns only when that is pointless."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then
            # stops everything in order.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                server.module,
                env={**os.environ, PARENT_PID: str(os.getpid())},
                start_new_session=True,
            )
            self._processes[server.name] = process
            self._log.info("started", server=server.name, pid=process.pid)
            status = await process.wait()
            if status == EXIT_STARTUP:
                self._log.error("cannot start; its message says why", server=server.name)
                return
            pause = backoff.after(loop.time() - began)
            self._log.warning("died; starting it again", server=server.name, status=status, pause_s=pause)
            await asyncio.sleep(pause)

    async def _end(self, server: Server) -> None:
        process = self._processes.get(server.name)
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            self._log.error("did not stop in time; killing it", server=server.name, pid=process.pid)
            process.kill()
            await process.wait()
        self._log.info("stopped", server=server.name, status=process.returncode)
