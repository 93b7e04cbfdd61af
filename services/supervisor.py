"""Runs the servers of the suite as child processes: starts them, restarts them after a crash, stops them in order."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

import structlog
from msgspec import Struct

from shared.runtime.backoff import Backoff
from shared.runtime.lifecycle import EXIT_STARTUP, end_cancellation
from shared.runtime.parent import PARENT_PID, READY_FD

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
_HEALTHY_SECONDS = 60.0
_INTERRUPT_SECONDS = 2.0


class ServerProcess(Struct, frozen=True):
    """A server process: its name in the log, the module that `python -m` runs, and its share of the stop time."""

    name: str
    module: str
    stop_at: float = 0.0
    """The share of the stop time after which the server is asked to stop.

    It is asked earlier once all servers with a smaller share have ended.
    """
    stop_by: float = 1.0
    """The share of the stop time after which the server must have ended."""


class RestartBackoff:
    """Exponential back-off of restarts, reset after a healthy minute."""

    def __init__(self) -> None:
        self._backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)

    def next_delay(self, uptime: float) -> float:
        """Returns the delay in seconds after a run of `uptime` seconds."""
        if uptime >= _HEALTHY_SECONDS:
            self._backoff.reset()
        return self._backoff.next_delay()


class Supervisor:
    """Keeps `servers` running. Stopping all of them takes at most `shutdown_seconds`."""

    def __init__(self, servers: Sequence[ServerProcess], *, shutdown_seconds: float) -> None:
        self._servers = servers
        self._shutdown_seconds = shutdown_seconds
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._addresses: dict[str, str] = {}
        """The address of each server that has been ready once."""
        self._ready: dict[str, int] = {}
        """The process ids of the servers that are ready."""
        self._log = structlog.get_logger()

    def find_ready_servers(self) -> list[int]:
        """Returns the process ids of the servers that are ready; others may not handle signals yet."""
        return list(self._ready.values())

    async def run(self, stop: asyncio.Event) -> int:
        """Runs until `stop` is set or a server cannot start. Returns the exit status of the suite.

        A cancellation stops all servers at once.
        """
        keepers = [asyncio.create_task(self._keep_running(server), name=server.name) for server in self._servers]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        status = 0
        try:
            await asyncio.wait([*keepers, stopped], return_when=asyncio.FIRST_COMPLETED)
            status = EXIT_STARTUP if any(keeper.done() for keeper in keepers) else 0
            for task in (*keepers, stopped):
                task.cancel()
            await asyncio.gather(*keepers, stopped, return_exceptions=True)
            await self._stop_in_order()
        except asyncio.CancelledError:
            end_cancellation()
            for task in (*keepers, stopped):
                task.cancel()
            await self._stop_at_once()
        return status

    async def _keep_running(self, server: ServerProcess) -> None:
        """Restarts a server whenever it ends. Returns only if it cannot start."""
        loop = asyncio.get_running_loop()
        backoff = RestartBackoff()
        seconds = (server.stop_by - server.stop_at) * self._shutdown_seconds
        while True:
            began = loop.time()
            # With a session of its own, the server does not get Ctrl-C from the terminal; the supervisor stops all in
            # order.
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
                loop.add_reader(ready, self._read_announcement, server, ready)
            self._processes[server.name] = process
            self._log.info("started", server=server.name, pid=process.pid)
            status = await process.wait()
            self._ready.pop(server.name, None)
            if status == EXIT_STARTUP:
                self._log.error("server_cannot_start", server=server.name)
                return
            delay = backoff.next_delay(loop.time() - began)
            self._log.warning("server_died", server=server.name, status=status, pause_s=delay)
            await asyncio.sleep(delay)

    def _read_announcement(self, server: ServerProcess, ready: int) -> None:
        """Reads the address that a server announces, empty if it has ended. Logs once that all servers are ready."""
        asyncio.get_running_loop().remove_reader(ready)
        address = os.read(ready, 4096).decode()
        os.close(ready)
        if address:
            self._ready[server.name] = self._processes[server.name].pid
        if address and server.name not in self._addresses:
            self._addresses[server.name] = address
            if len(self._addresses) == len(self._servers):
                self._log.info("ready", **self._addresses)

    async def _stop_in_order(self) -> None:
        """Asks the servers to stop in order, and kills those that exceed the time."""
        began = asyncio.get_running_loop().time()
        ending: dict[ServerProcess, asyncio.Task[None]] = {}
        for server in sorted(self._servers, key=lambda one: one.stop_at):
            earlier = [task for other, task in ending.items() if other.stop_at < server.stop_at]
            ending[server] = asyncio.create_task(self._stop_server(server, earlier, began), name=f"end {server.name}")
        await asyncio.gather(*ending.values())

    async def _stop_server(self, server: ServerProcess, earlier: Sequence[asyncio.Task[None]], began: float) -> None:
        loop = asyncio.get_running_loop()
        if earlier:
            await asyncio.wait(earlier, timeout=began + server.stop_at * self._shutdown_seconds - loop.time())
        process = self._processes.get(server.name)
        if process is None or process.returncode is not None:
            return
        _send_signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout_at(began + self._shutdown_seconds):
                await process.wait()
        except TimeoutError:
            self._log.error("server_killed", server=server.name, pid=process.pid)
            _send_signal(process, signal.SIGKILL)
            await process.wait()
        self._log.info("stopped", server=server.name, status=process.returncode)

    async def _stop_at_once(self) -> None:
        """Stops all servers without waiting for their work, and kills those that do not stop."""
        alive = [process for process in self._processes.values() if process.returncode is None]
        self._log.warning("stopping_at_once", servers=len(alive))
        for process in alive:
            _send_signal(process, signal.SIGINT)
        try:
            async with asyncio.timeout(_INTERRUPT_SECONDS):
                await asyncio.gather(*(process.wait() for process in alive))
        except TimeoutError:
            for process in alive:
                _send_signal(process, signal.SIGKILL)
            await asyncio.gather(*(process.wait() for process in alive))


def _send_signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # The process may have ended meanwhile.
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
