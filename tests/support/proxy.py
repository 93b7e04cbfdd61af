"""A stand-in for a bad network and a busy DynamoDB: passes calls on to a real server, and spoils some."""

import asyncio
import contextlib
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import aiohttp
from aiohttp import web

_OWN_HEADERS = ("host", "content-length")


class Fault:
    """What happens to one call."""

    def __init__(
        self,
        operation: str,
        *,
        answer: dict[str, Any] | None = None,
        lost: bool = False,
        hangs: bool = False,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.operation = operation
        self.answer = answer
        """The error that is answered instead of passing the call on."""
        self.lost = lost
        """The call is passed on, but its answer does not arrive."""
        self.hangs = hangs
        """The call is not passed on, and never answered."""
        self.meanwhile = meanwhile
        """What is done between the call and the loss of its answer, or before the call hangs."""

    @classmethod
    def error(cls, operation: str, code: str, **members: Any) -> Self:
        """DynamoDB answers with this error."""
        error = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "for the test", **members}
        return cls(operation, answer=error)


class Proxy:
    """Faults are used up in their order, each by the next call of its operation."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.faults: deque[Fault] = deque()
        self.calls: Counter[str] = Counter()
        """How many calls of each operation came."""
        self.endpoint = ""
        self.hung = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listens for as long as the block lasts."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{path:.*}", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.endpoint = f"http://{host}:{port}"
            async with aiohttp.ClientSession() as self._session:
                yield self
        finally:
            await runner.cleanup()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Deals with one call."""
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        self.calls[operation] += 1
        fault = self.faults.popleft() if self.faults and self.faults[0].operation == operation else None
        if fault is not None and fault.answer is not None:
            return web.Response(body=json.dumps(fault.answer), status=400, content_type="application/x-amz-json-1.0")
        if fault is not None and fault.hangs:
            if fault.meanwhile is not None:
                await fault.meanwhile()
            self.hung.set()
            await asyncio.Event().wait()
        body = await request.read()
        kept = {
            name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")
        }
        async with self._session.post(self._upstream + request.path, data=body, headers=kept) as answer:
            content = await answer.read()
            if fault is not None and fault.lost:
                if fault.meanwhile is not None:
                    await fault.meanwhile()
                assert request.transport is not None
                request.transport.abort()
            return web.Response(body=content, status=answer.status, content_type=answer.content_type)
