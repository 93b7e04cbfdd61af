"""Scores, statistics and notifications of a user."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from clients.distributed import DistributedClient
from clients.persistence import PersistenceClient
from services.gateway.http.parameters import AskingUser, AsUser, UserId
from services.gateway.http.principal import INSTALLATION_VIEWERS, PLAYER
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.players import named_player, require_player
from services.gateway.upstream.backend import Backend

NotificationNumber = Annotated[int, Meta(ge=1, le=2**62)]
NotificationId = Annotated[NotificationNumber, Meta(description="From the page before")]


class ScoreRequest(Struct, frozen=True, forbid_unknown_fields=True, rename={"score": "puntaje"}):
    """The score of a game. `user_id` is for development; else the token names the user."""

    score: Annotated[int, Meta(ge=-(10**15), le=10**15)]
    user_id: UserId | None = None


class ScoreAnswer(Struct, frozen=True, rename={"record": "nuevo_record", "best": "puntaje_maximo"}):
    """The result of saving a score."""

    message: str
    record: bool
    best: int
    success: Literal[True] = True


class StatsAnswer(Struct, frozen=True):
    """Statistics, as docs/PROTOCOL.md describes them."""

    stats: dict[str, Any]
    success: Literal[True] = True


class NotificationQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Selection of notifications."""

    user_id: AskingUser = None
    unread: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many, at most: 50 if left out, 10 of everybody's")] | (
        None
    ) = None
    order: Annotated[
        Literal["newest", "oldest"] | None,
        Meta(description="Which of the page comes first: the newest if left out, of everybody's the oldest"),
    ] = None
    cursor: NotificationId | None = None


class NotificationPage(Struct, frozen=True, rename={"unread": "no_leidas"}):
    """The last notifications of a user, or of everybody; `cursor` leads to the next page."""

    notifications: list[dict[str, Any]]
    unread: Annotated[int | None, Meta(description="How many the user has not read; null of everybody's")]
    cursor: int | None
    success: Literal[True] = True


class ReadRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Notifications to mark as read; without `ids`, all. `user_id` is for development; else see the token."""

    ids: Annotated[list[NotificationNumber], Meta(min_length=1, max_length=1000)] | None = None
    user_id: UserId | None = None


class ReadAnswer(Struct, frozen=True, rename={"marked": "marcadas"}):
    """The number of notifications that were unread."""

    marked: int
    success: Literal[True] = True


class ScoreRoutes:
    """Saving needs the persistence server alone; the others need the distributed service."""

    def __init__(self, persistence: Backend[PersistenceClient], distributed: Backend[DistributedClient]) -> None:
        self._persistence = persistence
        self._distributed = distributed

    @route(
        "POST",
        "/api/guardar_puntaje",
        id="save_post_scores",
        tag="scores",
        access=PLAYER,
        summary="Save the score of a game",
        body=ScoreRequest,
        example={"user_id": 1, "puntaje": 100},
        responses={200: ResponseSpec(ScoreAnswer, "It is stored")},
        errors=UPSTREAM_ERRORS,
    )
    async def _save_score(self, request: HttpRequest) -> HttpResponse:
        game: ScoreRequest = request.body
        user = require_player(request.principal, game.user_id)
        saved = await self._persistence.lookups.save_score(user, game.score)
        message = f"New record: {saved.best}" if saved.record else f"Saved; the record is {saved.best}"
        return json_response(ScoreAnswer(message, saved.record, saved.best))

    @route(
        "GET",
        "/api/stats/usuario",
        id="user_get_scores",
        tag="scores",
        access=INSTALLATION_VIEWERS.or_players(),
        summary="A user's scores and rank",
        query=AsUser,
        responses={200: ResponseSpec(StatsAnswer, "Their statistics")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_user(self, request: HttpRequest) -> HttpResponse:
        user = require_player(request.principal, request.query.user_id)
        return json_response(StatsAnswer(await self._distributed.lookups.get_user_stats(user)))

    @route(
        "GET",
        "/api/stats/global",
        id="everybody_get_scores",
        tag="scores",
        access=INSTALLATION_VIEWERS,
        summary="All users and all orders",
        responses={200: ResponseSpec(StatsAnswer, "Their statistics")},
        errors=UPSTREAM_ERRORS,
    )
    async def _show_everybody(self, _: HttpRequest) -> HttpResponse:
        return json_response(StatsAnswer(await self._distributed.lookups.get_global_stats()))

    @route(
        "GET",
        "/api/notificaciones",
        id="notifications_get_scores",
        tag="scores",
        access=INSTALLATION_VIEWERS.or_players(),
        summary="The last notifications of a user",
        description="In development, without a token and a `user_id`, those of everybody.",
        query=NotificationQuery,
        responses={200: ResponseSpec(NotificationPage, "A page of notifications")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_notifications(self, request: HttpRequest) -> HttpResponse:
        query: NotificationQuery = request.query
        user = named_player(request.principal, query.user_id)
        page = await self._distributed.lists.get_notification_page(
            user, unread=query.unread, page_size=query.limit, order=query.order, cursor=query.cursor
        )
        return json_response(NotificationPage(page["notifications"], page["no_leidas"], page["cursor"]))

    @route(
        "POST",
        "/api/notificaciones/leidas",
        id="mark_read_post_scores",
        tag="scores",
        access=PLAYER,
        summary="Mark notifications as read",
        description="Those of `ids`, or all; none is marked where one is not this user's.",
        body=ReadRequest,
        example={"ids": [1, 2], "user_id": 1},
        responses={200: ResponseSpec(ReadAnswer, "They are read")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _mark_read(self, request: HttpRequest) -> HttpResponse:
        read: ReadRequest = request.body
        user = require_player(request.principal, read.user_id)
        return json_response(ReadAnswer(await self._distributed.lookups.mark_read(user, read.ids)))
