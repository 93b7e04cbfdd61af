"""Scores, statistics and notifications, each of the user who asks."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar import Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody, Parameter
from msgspec import Meta, Struct

from clients.distributed import DistributedClient
from clients.persistence import PersistenceClient
from services.gateway.answers import answer, refusals
from services.gateway.backend import Backend
from services.gateway.identity import Identity

UserId = Annotated[int, Meta(ge=-(10**15), le=10**15)]
WhichUser = Annotated[
    int | None, Parameter(ge=-(10**15), le=10**15, description="In development alone; else the token says it")
]
BEARER: list[dict[str, list[str]]] = [{"bearer": []}, {}]
"""A token, or none in development."""


class ScoreRequest(Struct, frozen=True, forbid_unknown_fields=True, rename={"score": "puntaje"}):
    """A game that was played. `user_id` is for development; else the token says whose it is."""

    score: Annotated[int, Meta(ge=-(10**15), le=10**15)]
    user_id: UserId | None = None


class ScoreAnswer(Struct, frozen=True, rename={"record": "nuevo_record", "best": "puntaje_maximo"}):
    """What became of it."""

    message: str
    record: bool
    best: int
    success: Literal[True] = True


class StatsAnswer(Struct, frozen=True):
    """Statistics, as docs/PROTOCOL.md describes them."""

    stats: dict[str, Any]
    success: Literal[True] = True


class NotificationPage(Struct, frozen=True, rename={"unread": "no_leidas"}):
    """What a user was told, newest first."""

    notifications: list[dict[str, Any]]
    unread: int
    cursor: int | None
    success: Literal[True] = True


def score_routes(
    persistence: Backend[PersistenceClient], distributed: Backend[DistributedClient], identity: Identity
) -> Sequence[BaseRouteHandler]:
    """Saving needs the persistence server alone; the others need the distributed service."""

    @post(
        "/api/guardar_puntaje",
        tags=["scores"],
        status_code=200,
        summary="Save the score of a game",
        security=BEARER,
        responses=refusals(
            "invalid_json", "unsupported_media_type", "unauthorized", "invalid_params", "timeout", "deadline_exceeded"
        ),
    )
    async def save_score(data: JSONBody[ScoreRequest], request: Any) -> Response[ScoreAnswer]:
        user = identity.user(request, data.user_id)
        saved = await persistence.ask(lambda client: client.save_score(user, data.score))
        message = f"New record: {saved.best}" if saved.record else f"Saved; the record is {saved.best}"
        return answer(ScoreAnswer(message, saved.record, saved.best))

    reading = refusals("unauthorized", "invalid_params", "deadline_exceeded")

    @get("/api/stats/usuario", tags=["scores"], summary="A user's scores and rank", security=BEARER, responses=reading)
    async def user_stats(request: Any, user_id: WhichUser = None) -> Response[StatsAnswer]:
        user = identity.user(request, user_id)
        return answer(StatsAnswer(await distributed.ask(lambda client: client.get_user_stats(user))))

    @get(
        "/api/stats/global",
        tags=["scores"],
        summary="All users and all orders",
        responses=refusals("deadline_exceeded"),
    )
    async def global_stats() -> Response[StatsAnswer]:
        return answer(StatsAnswer(await distributed.ask(lambda client: client.get_global_stats())))

    @get(
        "/api/notificaciones",
        tags=["scores"],
        summary="What a user was told, newest first",
        security=BEARER,
        responses=reading,
    )
    async def notifications(
        request: Any,
        user_id: WhichUser = None,
        unread: bool = False,
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 50,
        cursor: Annotated[int | None, Parameter(ge=1, le=2**62)] = None,
    ) -> Response[NotificationPage]:
        user = identity.user(request, user_id)
        page = await distributed.ask(
            lambda client: client.notification_page(user, unread=unread, page_size=limit, cursor=cursor)
        )
        return answer(NotificationPage(page["notifications"], page["no_leidas"], page["cursor"]))

    return [save_score, user_stats, global_stats, notifications]
