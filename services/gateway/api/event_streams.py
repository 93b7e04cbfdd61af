"""Streams of events: how many may be open, and when they end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from clients.request_context import RequestContext, set_request_context
from services.gateway.http.principal import RouteAccess
from services.gateway.http.routes import HttpRequest, HttpResponse
from services.gateway.identity.authenticator import Authenticator
from services.gateway.upstream.event_hub import EventFilter, EventHub
from shared.domain.errors import Unavailable
from shared.net.addresses import address_key, is_own_host

MEDIA_TYPE: Final = "text/event-stream"

_RECHECK_SECONDS: Final = 1.0
_RECHECK_TIMEOUT: Final = 5.0
_HEADERS: Final = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStreams:
    """The open streams; at most `max_streams` are open at a time, of one address `max_per_address`.

    A stream ends when its credentials end.
    """

    def __init__(self, hub: EventHub, authenticator: Authenticator, *, max_streams: int, max_per_address: int) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._max_streams = max_streams
        self._max_per_address = max_per_address
        self._by_address: Counter[str] = Counter()

    def check_room(self, request: HttpRequest) -> None:
        """Raises Unavailable if there is no room for a stream of this client."""
        if self._hub.listeners >= self._max_streams:
            raise Unavailable(
                f"{self._hub.listeners} streams of events are open already", hint="the limit is MAX_EVENT_STREAMS"
            )
        address = _counted_address(request)
        if address is not None and self._by_address[address] >= self._max_per_address:
            raise Unavailable(
                f"{address} has {self._max_per_address} streams of events open already",
                hint="close some; the limit is MAX_EVENT_STREAMS_PER_ADDRESS",
            )

    async def listen(self, choice: EventFilter, since: int | None = None) -> AsyncIterator[bytes]:
        """Returns the frames of `EventHub.listen`."""
        return await self._hub.listen(choice, since)

    def respond(self, request: HttpRequest, frames: AsyncIterator[bytes], access: RouteAccess) -> HttpResponse:
        """Returns the response that sends frames while the credentials of the request give it `access`."""
        if request.principal.kind != "developer":
            frames = self._end_with_credentials(frames, request, access)
        address = _counted_address(request)
        return HttpResponse(200, list(_HEADERS), frames if address is None else self._count_stream(frames, address))

    async def _end_with_credentials(
        self, frames: AsyncIterator[bytes], request: HttpRequest, access: RouteAccess
    ) -> AsyncIterator[bytes]:
        """Yields frames while the credentials of the request are valid; looks again before a frame is sent."""
        clock = asyncio.get_running_loop().time
        checked = clock()
        async with aclosing(frames):  # type: ignore[type-var]
            async for frame in frames:
                if clock() - checked >= _RECHECK_SECONDS:
                    set_request_context(RequestContext(request.request_id, clock() + _RECHECK_TIMEOUT, clock))
                    if not await self._authenticator.is_still_admitted(request, access):
                        return
                    checked = clock()
                yield frame

    async def _count_stream(self, frames: AsyncIterator[bytes], address: str) -> AsyncIterator[bytes]:
        self._by_address[address] += 1
        try:
            async for frame in frames:
                yield frame
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            await frames.aclose()  # type: ignore[attr-defined]


def _counted_address(request: HttpRequest) -> str | None:
    """Returns the address under which a stream counts; None for programs of this machine."""
    return None if is_own_host(request.address) else address_key(request.address)
