"""Events over HTTP, as server-sent events: `new EventSource("/api/v1/events")` in a browser."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from msgspec import Meta, Struct

from clients.request_context import RequestContext, set_request_context
from services.gateway.http.parameters import AskingUser
from services.gateway.http.principal import INSTALLATION_VIEWERS, check_access
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.authenticator import Authenticator
from services.gateway.identity.players import require_player
from services.gateway.upstream.event_hub import PERSONAL, TOPICS, EventFilter, EventHub
from shared.domain.errors import InvalidParams, Unavailable
from shared.net.addresses import address_key, is_own_host

MEDIA_TYPE = "text/event-stream"
_ACCESS = INSTALLATION_VIEWERS.or_players()
_RECHECK_SECONDS = 1.0
_RECHECK_TIMEOUT = 5.0
_HEADERS = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
Customer = Annotated[str, Meta(min_length=1, max_length=200)]
OrderId = Annotated[str, Meta(min_length=1, max_length=64)]
EventNumber = Annotated[int, Meta(ge=0, le=2**62)]


class EventQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Selection of events."""

    topics: Annotated[str, Meta(max_length=100, description="Names with commas between them")] = "orders"
    cliente: Annotated[Customer | None, Meta(description="Orders of this customer alone")] = None
    id: Annotated[OrderId | None, Meta(description="This order alone")] = None
    user_id: AskingUser = None
    since: Annotated[EventNumber | None, Meta(description="The last event that is known already")] = None


class LastEvent(Struct, frozen=True, rename={"number": "last-event-id"}):
    """The header that browsers send when they reconnect."""

    number: Annotated[EventNumber | None, Meta(description="As `since`, and before it")] = None


class EventRoutes:
    """The stream of events; at most `max_streams` are open at a time, of one address `max_per_address`.

    A stream ends when its credentials end.
    """

    def __init__(self, hub: EventHub, authenticator: Authenticator, *, max_streams: int, max_per_address: int) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._max_streams = max_streams
        self._max_per_address = max_per_address
        self._streams_by_address: Counter[str] = Counter()

    @route(
        "GET",
        "/api/v1/events",
        id="follow_get_events",
        tag="events",
        access=_ACCESS,
        summary="Follow what happens",
        description="Server-sent events: each with its number as `id`, its name as `event`, and as `data` the JSON of "
        f"docs/PROTOCOL.md. Topics: {', '.join(TOPICS)}; of {' and '.join(sorted(PERSONAL))} one's own.",
        query=EventQuery,
        headers=LastEvent,
        responses={200: ResponseSpec(str, "A stream without an end", MEDIA_TYPE)},
        errors=("gone",),
    )
    async def _follow_events(self, request: HttpRequest) -> HttpResponse:
        query: EventQuery = request.query
        chosen = frozenset(topic.strip() for topic in query.topics.split(",") if topic.strip())
        if not chosen or not chosen <= set(TOPICS):
            unknown = ", ".join(sorted(chosen - set(TOPICS))) or "nothing"
            raise InvalidParams(f"no topics: {unknown}", field="topics", hint=f"topics: {', '.join(TOPICS)}")
        if chosen - PERSONAL:
            check_access(request.principal, INSTALLATION_VIEWERS)
        user = require_player(request.principal, query.user_id) if chosen & PERSONAL else None
        if self._hub.listeners >= self._max_streams:
            raise Unavailable(
                f"{self._hub.listeners} streams of events are open already", hint="the limit is MAX_EVENT_STREAMS"
            )
        address = None if is_own_host(request.address) else address_key(request.address)
        if address is not None and self._streams_by_address[address] >= self._max_per_address:
            raise Unavailable(
                f"{address} has {self._max_per_address} streams of events open already",
                hint="close some; the limit is MAX_EVENT_STREAMS_PER_ADDRESS",
            )
        choice = EventFilter(chosen, query.cliente, None if query.id is None else query.id.lower(), user)
        known = query.since if request.headers.number is None else request.headers.number
        frames = await self._hub.listen(choice, known)
        if request.principal.kind != "developer":
            frames = self._end_with_credentials(frames, request)
        return HttpResponse(200, list(_HEADERS), frames if address is None else self._count_stream(frames, address))

    async def _end_with_credentials(self, frames: AsyncIterator[bytes], request: HttpRequest) -> AsyncIterator[bytes]:
        """Yields frames while the credentials of the request are valid; looks again before a frame is sent."""
        clock = asyncio.get_running_loop().time
        checked = clock()
        async with aclosing(frames):  # type: ignore[type-var]
            async for frame in frames:
                if clock() - checked >= _RECHECK_SECONDS:
                    set_request_context(RequestContext(request.request_id, clock() + _RECHECK_TIMEOUT, clock))
                    if not await self._authenticator.is_still_admitted(request, _ACCESS):
                        return
                    checked = clock()
                yield frame

    async def _count_stream(self, frames: AsyncIterator[bytes], address: str) -> AsyncIterator[bytes]:
        self._streams_by_address[address] += 1
        try:
            async for frame in frames:
                yield frame
        finally:
            self._streams_by_address[address] -= 1
            if not self._streams_by_address[address]:
                del self._streams_by_address[address]
            await frames.aclose()  # type: ignore[attr-defined]
