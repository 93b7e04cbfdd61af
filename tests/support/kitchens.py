"""Handlers for tests, named by ORDER_HANDLER."""

import asyncio
import os
import signal
import time
from pathlib import Path

from services.inventory.reserving import Reserving
from workers.handlers import Job, Kit, Reject


async def fussy(job: Job) -> None:
    """Does what the order's customer says."""
    match job.order.customer:
        case "fails":
            raise RuntimeError("no flour")
        case "fails once":
            if job.attempt == 1:
                raise RuntimeError("not yet")
        case "rejected":
            raise Reject("not in this house")
        case "never ends":
            await asyncio.Event().wait()
        case "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        case "blocks once":
            if job.attempt == 1:
                time.sleep(3600)  # noqa: ASYNC251


def plain(job: Job) -> None:
    """A handler without an event loop; it leaves a file named after the order."""
    Path(os.environ["PLATES"], job.id).touch()


class Kitchen(Reserving):
    """Does what the order's customer says, with all that is stocked of it."""

    async def work(self, job: Job) -> None:
        await fussy(job)


class Tidy:
    """A handler that leaves a file when it is closed."""

    def __init__(self, kit: Kit) -> None:
        self._cooked = 0

    async def __call__(self, job: Job) -> None:
        self._cooked += 1

    async def close(self) -> None:
        await asyncio.to_thread(Path(os.environ["PLATES"], f"closed after {self._cooked}").touch)
