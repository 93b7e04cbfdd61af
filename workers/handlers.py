"""What is done with an order: handlers by import path, and the two that come with the suite.

A handler is any importable callable that takes a `Job`: a coroutine function, or a plain function, which
then runs in a thread. Returning means done; raising means one failed attempt; raising `Reject` means that
further attempts are pointless.
"""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from shared.domain.errors import StartupError
from shared.domain.orders import OrderRequest

Handler = Callable[["Job"], Awaitable[None]]


class Job(Struct, frozen=True, gc=False):
    """One attempt at one order."""

    id: str
    attempt: int
    order: OrderRequest


class Reject(Exception):
    """Raised by a handler for an order that no further attempt can save."""


class Wait:
    """The default handler: each order takes `seconds` of waiting, as a real kitchen would."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, job: Job) -> None:
        """Waits."""
        await asyncio.sleep(self._seconds)


async def nothing(job: Job) -> None:
    """Does nothing, for measuring everything else."""


def load_handler(path: str, *, processing_seconds: float) -> Handler:
    """The handler that `module:name` names; `workers.handlers:wait` is the default one.

    Raises StartupError when it cannot be imported or called.
    """
    if path == "workers.handlers:wait":
        return Wait(processing_seconds)
    module_name, colon, name = path.partition(":")
    hint = "ORDER_HANDLER is module:name of a callable that takes a job, such as workers.handlers:wait"
    if not (module_name and colon and name):
        raise StartupError(f"ORDER_HANDLER={path} does not name a handler", hint=hint)
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise StartupError(f"ORDER_HANDLER={path} cannot be imported: {error}", hint=hint) from error
    if not callable(found):
        raise StartupError(f"ORDER_HANDLER={path} is not callable", hint=hint)
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(type(found).__call__):
        handler: Handler = found
        return handler

    async def in_thread(job: Job) -> None:
        await asyncio.to_thread(found, job)

    return in_thread
