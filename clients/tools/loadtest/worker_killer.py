"""Kills worker processes of a suite on this machine while a load test runs."""

import asyncio
import contextlib
import ipaddress
import os
import random
import signal
import socket

from clients.access import Target
from clients.errors import ClientError
from clients.intake import IntakeClient

_PAUSE_SECONDS = (0.2, 1.0)
_START_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_TITLE = "comanda-worker"


class WorkerKiller:
    """Kills randomly chosen workers."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.killed = 0
        """The number of killed workers."""

    async def check_server(self) -> None:
        """Raises ClientError unless the server runs on this machine."""
        found = await asyncio.get_running_loop().getaddrinfo(*self._target[:2], type=socket.SOCK_STREAM)
        if not all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found):
            raise _not_here(f"{self._target.host} is not this machine")
        async with IntakeClient(*self._target) as client:
            await _wait_for_worker(client)
            pids = await _list_worker_pids(client)
        if not any([await _is_worker(pid) for pid in pids]):
            raise _not_here("the server's workers are not processes of this machine")

    async def kill_workers(self) -> None:
        """Kills workers until cancelled."""
        async with IntakeClient(*self._target) as client:
            while True:
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
                with contextlib.suppress(ClientError, ProcessLookupError):
                    pids = [pid for pid in await _list_worker_pids(client) if await _is_worker(pid)]
                    if pids:
                        os.kill(random.choice(pids), signal.SIGKILL)
                        self.killed += 1


async def _wait_for_worker(client: IntakeClient) -> None:
    """Waits for the first worker: a suite listens before its workers are ready and have their title."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while not (await client.health())["workers"]["ready"] and loop.time() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)


async def _list_worker_pids(client: IntakeClient) -> list[int]:
    return [worker["pid"] for worker in (await client.stats())["workers"] if worker["pid"] is not None]


async def _is_worker(pid: int) -> bool:
    """Whether this process of the machine is a worker."""
    ps = await asyncio.create_subprocess_exec(
        "ps", "-o", "args=", "-p", str(pid), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await ps.communicate()
    return output.decode(errors="replace").strip().startswith(_TITLE)


def _not_here(reason: str) -> ClientError:
    return ClientError(f"--chaos kills workers of a suite on this machine only: {reason}", hint="leave out --chaos")
