"""The parts of a service: tasks that run from its start until it stops."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class ServiceParts:
    """Tasks of which none ends by itself: the first that fails ends the service."""

    def __init__(self) -> None:
        self._parts: list[asyncio.Future[None]] = []

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Starts a part."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._parts.append(task)
        return task

    def watch(self, failure: asyncio.Future[None]) -> None:
        """Adds a future that gets the failure of a part without a task."""
        self._parts.append(failure)

    async def wait(self, stop: asyncio.Event) -> None:
        """Returns once `stop` is set or a part has failed."""
        stopped = asyncio.get_running_loop().create_task(stop.wait(), name="stop")
        ends: list[asyncio.Future[Any]] = [*self._parts, stopped]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()

    def cancel(self, *, but: asyncio.Task[None] | None = None) -> list[asyncio.Task[None]]:
        """Cancels all parts `but` one; returns those that are cancelled."""
        tasks = [part for part in self._parts if isinstance(part, asyncio.Task) and part is not but]
        for task in tasks:
            task.cancel()
        return tasks

    def raise_failure(self) -> None:
        """Raises the error of the first part that has failed."""
        for part in self._parts:
            if part.done() and not part.cancelled() and (error := part.exception()) is not None:
                raise error
