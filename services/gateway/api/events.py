"""Events over HTTP, as server-sent events: `new EventSource("/api/v1/events")` in a browser."""

from typing import Annotated

from msgspec import Meta, Struct

from services.gateway.api.event_streams import MEDIA_TYPE, EventStreams
from services.gateway.http.parameters import AskingUser
from services.gateway.http.principal import INSTALLATION_OPERATORS, INSTALLATION_VIEWERS, check_access
from services.gateway.http.routes import HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.players import require_player
from services.gateway.upstream.event_hub import PERSONAL, PURCHASES, TOPICS, EventFilter
from shared.domain.errors import InvalidParams

_ACCESS = INSTALLATION_VIEWERS.or_players()
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
    """The stream of events."""

    def __init__(self, streams: EventStreams) -> None:
        self._streams = streams

    @route(
        "GET",
        "/api/v1/events",
        id="follow_get_events",
        tag="events",
        access=_ACCESS,
        summary="Follow what happens",
        description="Server-sent events: each with its number as `id`, its name as `event`, and as `data` the JSON of "
        f"docs/PROTOCOL.md. Topics: {', '.join(TOPICS)}; of {' and '.join(sorted(PERSONAL))} one's own; "
        f"{PURCHASES} for operators.",
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
        access = _ACCESS
        if chosen - PERSONAL:
            access = INSTALLATION_OPERATORS if PURCHASES in chosen else INSTALLATION_VIEWERS
            check_access(request.principal, access)
        user = require_player(request.principal, query.user_id) if chosen & PERSONAL else None
        self._streams.check_room(request)
        choice = EventFilter(chosen, query.cliente, None if query.id is None else query.id.lower(), user)
        known = query.since if request.headers.number is None else request.headers.number
        return self._streams.respond(request, await self._streams.listen(choice, known), access)
