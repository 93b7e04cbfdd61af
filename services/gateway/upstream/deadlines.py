"""What takes longer than a request may: many questions, of which each has the time of a request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from clients.call import Call, serve
from clients.persistence import PersistenceClient
from services.gateway.upstream.backend import Backend

T = TypeVar("T")


class LongRequest:
    """Asks for a request named `trace`, each time with `seconds` to wait for the answer."""

    def __init__(self, backend: Backend[PersistenceClient], trace: str, *, seconds: float) -> None:
        self._backend = backend
        self._trace = trace
        self._seconds = seconds

    async def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> T:
        """See `Backend.ask`."""
        clock = asyncio.get_running_loop().time
        serve(Call(self._trace, clock() + self._seconds, clock))
        return await self._backend.ask(question)
