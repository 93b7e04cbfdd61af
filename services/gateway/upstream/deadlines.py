"""Deadlines of long requests: uploads and exports take longer than one request may, and consist of many calls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from clients.persistence import PersistenceClient
from clients.request_context import RequestContext, set_request_context
from services.gateway.upstream.backend import Backend, GuardedClient


def long_request_client(backend: Backend[PersistenceClient], trace: str, *, seconds: float) -> PersistenceClient:
    """Returns a client that gives each of its calls `seconds`, instead of the time that the request has left.

    `trace` is the id of the request. Its methods raise as `Backend.ask` does.
    """
    clock = asyncio.get_running_loop().time

    async def ask(question: Callable[[PersistenceClient], Awaitable[Any]]) -> Any:
        set_request_context(RequestContext(trace, clock() + seconds, clock))
        return await backend.ask(question)

    return cast(PersistenceClient, GuardedClient(ask))
