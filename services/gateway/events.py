"""Events over HTTP, as server-sent events: `new EventSource("/api/v1/events")` in a browser."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from services.gateway.answers import refusals
from services.gateway.hub import TOPICS, Choice, Hub
from services.gateway.identity import Identity
from services.gateway.scores import BEARER, WhichUser
from shared.domain.errors import InvalidParams, Unavailable

_PERSONAL = {"scores", "notifications"}
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Number = Annotated[int | None, Parameter(ge=0, le=2**62, description="The last event that is known already")]
LastEventId = Annotated[
    int | None, Parameter(header="Last-Event-ID", ge=0, le=2**62, description="The same, as browsers say it")
]


def event_routes(hub: Hub, identity: Identity, *, max_streams: int) -> Sequence[BaseRouteHandler]:
    """The stream of events."""

    @get(
        "/api/v1/events",
        tags=["events"],
        summary="Follow what happens",
        description=(
            "Server-sent events: each with its number as `id`, its name as `event`, and as `data` the JSON that "
            f"docs/PROTOCOL.md describes. Topics: {', '.join(TOPICS)}; the last two are those of one user."
        ),
        security=BEARER,
        responses={
            200: ResponseSpec(str, generate_examples=False, media_type=_MEDIA_TYPE, description="A stream without end"),
            **refusals("unauthorized", "invalid_params", "gone"),
        },
    )
    async def events(
        request: Any,
        topics: Annotated[str, Parameter(max_length=100, description="Names with commas between them")] = "orders",
        cliente: Annotated[str | None, Parameter(max_length=200, description="Orders of this customer alone")] = None,
        id: Annotated[str | None, Parameter(max_length=64, description="This order alone")] = None,  # noqa: A002
        user_id: WhichUser = None,
        since: Number = None,
        last_event_id: LastEventId = None,
    ) -> Stream:
        chosen = frozenset(topic.strip() for topic in topics.split(",") if topic.strip())
        if not chosen or not chosen <= set(TOPICS):
            unknown = ", ".join(sorted(chosen - set(TOPICS))) or "nothing"
            raise InvalidParams(f"no topics: {unknown}", field="topics", hint=f"topics: {', '.join(TOPICS)}")
        user = identity.user(request, user_id) if chosen & _PERSONAL else None
        if hub.listeners >= max_streams:
            raise Unavailable(
                f"{hub.listeners} streams of events are open already", hint="the limit is MAX_EVENT_STREAMS"
            )
        choice = Choice(chosen, cliente, None if id is None else id.lower(), user)
        stream = await hub.listen(choice, last_event_id if last_event_id is not None else since)
        return Stream(stream, media_type=_MEDIA_TYPE, headers=_HEADERS)

    return [events]
