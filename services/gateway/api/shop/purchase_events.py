"""The stream of events of one purchase, for its customer."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from clients.persistence import PersistenceClient
from clients.shop.purchases import get_purchase
from services.gateway.api.event_streams import MEDIA_TYPE, EventStreams
from services.gateway.api.shop.envelope import TenantQuery, own_account
from services.gateway.api.shop.purchases import show_purchase
from services.gateway.http.principal import SIGNED_IN
from services.gateway.http.responses import encode_json
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.event_hub import PURCHASES, EventFilter

_STATE: Final = b'event: purchase.state\ndata: {"event":"purchase.state","purchase":%s}\n\n'


class PurchaseEventRoutes:
    """The events of a purchase: none of other purchases, and none of other customers."""

    def __init__(self, persistence: Backend[PersistenceClient], streams: EventStreams) -> None:
        self._records = persistence
        self._streams = streams

    @route(
        "GET",
        "/api/v1/purchases/{id}/events",
        id="follow_get_purchases",
        tag="purchases",
        access=SIGNED_IN,
        summary="Follow a purchase",
        description="Server-sent events: `purchase.state` with the purchase as it is now, then `purchase.placed`, "
        "`purchase.ordered`, `purchase.completed` or `purchase.cancelled`. A reconnection begins with the state again.",
        query=TenantQuery,
        responses={200: ResponseSpec(str, "A stream without an end", MEDIA_TYPE)},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _follow_purchase(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        self._streams.check_room(request)
        records = self._records.of(tenant).lookups
        # A stranger is refused before anything is followed.
        purchase = await get_purchase(records, user, request.id)
        frames = await self._streams.listen(EventFilter(frozenset({PURCHASES}), order=purchase.purchase))
        # Read again: what has happened meanwhile is in the state, and what happens from now on is an event.
        state = show_purchase(await get_purchase(records, user, request.id), tenant)
        return self._streams.respond(request, _begin_with(_STATE % encode_json(state), frames), SIGNED_IN)


async def _begin_with(state: bytes, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the beginning of a stream, the state, and the rest."""
    async with aclosing(frames):  # type: ignore[type-var]
        yield await anext(frames)
        yield state
        async for frame in frames:
            yield frame
