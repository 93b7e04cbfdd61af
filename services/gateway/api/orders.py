"""Orders: place, list, show, cancel, retry and explain, and the intake's statistics."""

import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, structs

from clients.errors import Refused
from clients.intake import IntakeClient
from clients.replies import Accepted, Moved, Page, StoredOrder
from services.gateway.http.bodies import ORDERS
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.principal import INSTALLATION_OPERATORS, INSTALLATION_VIEWERS
from services.gateway.http.problems import Problem, problem
from services.gateway.http.responses import check_match, etag_of, is_named, json_response, not_modified
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.upstream.backend import Backend
from shared.domain.errors import InvalidParams
from shared.domain.orders import OrderRequest
from shared.domain.states import State
from shared.wire.orders import EXAMPLE

_PATH = "/api/v1/orders"
Moment = Annotated[datetime.datetime, Meta(tz=True)]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=100)]


class KeyHeader(Struct, frozen=True, rename={"key": "idempotency-key"}):
    """The header of new orders."""

    key: Annotated[IdempotencyKey | None, Meta(description="Makes it safe to send the same again")] = None


class OrderQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Selection of orders."""

    estado: State | None = None
    cliente: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    desde: Annotated[Moment | None, Meta(description="Received at this time or later")] = None
    hasta: Annotated[Moment | None, Meta(description="Received before this time")] = None
    limite: Limit = 50
    cursor: Cursor | None = None


class Outcome(Struct, frozen=True, omit_defaults=True):
    """The result of one order: one of the two."""

    accepted: Accepted | None = None
    problem: Problem | None = None


class Outcomes(Struct, frozen=True, rename={"results": "resultados"}):
    """Results of several orders, in the order of the request."""

    results: list[Outcome]


_CHANGES = ("not_found", "invalid_params", "conflict", "precondition_failed", *UPSTREAM_ERRORS)


class OrderRoutes:
    """Routes that call the intake."""

    def __init__(self, intake: Backend[IntakeClient], *, by_address: bool) -> None:
        self._intake = intake
        self._by_address = by_address

    @route(
        "POST",
        _PATH,
        id="place_post_orders",
        tag="orders",
        access=INSTALLATION_OPERATORS,
        summary="Place one order, or many",
        description="What is answered is on disk. Many come as an array, and each has its own outcome.",
        headers=KeyHeader,
        body=ORDERS,
        example=EXAMPLE,
        responses={
            201: ResponseSpec(Accepted, "The order is accepted"),
            200: ResponseSpec(Accepted, "It was there under this key already"),
            207: ResponseSpec(Outcomes, "What became of each of many"),
        },
        errors=("conflict", "queue_full", *UPSTREAM_ERRORS),
    )
    async def _place_orders(self, request: HttpRequest) -> HttpResponse:
        key: str | None = request.headers.key
        if isinstance(request.body, list):
            return await self._place_many(request.body, key, request)
        order = self._key_order(request.body, key, request)
        accepted = await self._intake.at_once.order(order, add_request_id=False)
        return json_response(accepted, status=200 if accepted.duplicate else 201, location=f"{_PATH}/{accepted.id}")

    async def _place_many(
        self, orders: list[OrderRequest | InvalidParams], key: str | None, request: HttpRequest
    ) -> HttpResponse:
        keyed = [self._key_member(order, key, place, request) for place, order in enumerate(orders)]
        good = [order for order in keyed if isinstance(order, OrderRequest)]
        found = iter(await self._intake.at_once.orders(good) if good else ())
        outcomes = [next(found) if isinstance(order, OrderRequest) else order for order in keyed]
        return json_response(Outcomes([_order_outcome(one, request.request_id) for one in outcomes]), status=207)

    def _key_member(
        self, order: OrderRequest | InvalidParams, key: str | None, place: int, request: HttpRequest
    ) -> OrderRequest | InvalidParams:
        """Returns the order of an array under its key, or its error, which costs no other order."""
        try:
            key = None if key is None else f"{key}:{place}"
            return order if isinstance(order, InvalidParams) else self._key_order(order, key, request)
        except InvalidParams as error:
            return error

    def _key_order(self, order: OrderRequest, key: str | None, request: HttpRequest) -> OrderRequest:
        """Returns the order under its key and that of its client. Raises InvalidParams for a second key."""
        order = _set_request_id(order, key)
        if self._by_address and order.request_id is not UNSET and order.client_id is UNSET:
            # The intake would see the gateway's own address.
            order = structs.replace(order, client_id=request.address)
        return order

    @route(
        "GET",
        _PATH,
        id="list_get_orders",
        tag="orders",
        access=INSTALLATION_VIEWERS,
        summary="List orders, newest first",
        query=OrderQuery,
        responses={200: ResponseSpec(Page, "A page of orders; `cursor` leads to the next one")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_orders(self, request: HttpRequest) -> HttpResponse:
        query: OrderQuery = request.query
        page = await self._intake.lists.page(
            state=query.estado,
            customer=query.cliente,
            since=query.desde,
            until=query.hasta,
            page_size=query.limite,
            cursor=query.cursor,
        )
        return json_response(page)

    @route(
        "GET",
        f"{_PATH}/{{id}}",
        id="show_get_orders",
        tag="orders",
        access=INSTALLATION_VIEWERS,
        summary="Look at an order",
        headers=NoneMatch,
        responses={
            200: ResponseSpec(StoredOrder, "The order"),
            304: ResponseSpec(None, "It is what the ETag stands for"),
        },
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_order(self, request: HttpRequest) -> HttpResponse:
        order = await self._intake.lookups.status(request.id)
        etag = etag_of(order)
        return not_modified(etag) if is_named(etag, request.headers.if_none_match) else json_response(order, etag=etag)

    @route(
        "GET",
        f"{_PATH}/{{id}}/explain",
        id="explain_get_orders",
        tag="orders",
        access=INSTALLATION_VIEWERS,
        summary="See what happened to an order",
        description="The steps with their times, and each failed attempt with its error, place and traceback.",
        responses={200: ResponseSpec(dict[str, Any], "What happened, as docs/PROTOCOL.md describes `explain`")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _explain_order(self, request: HttpRequest) -> HttpResponse:
        return json_response(await self._intake.lookups.explain(request.id))

    @route(
        "DELETE",
        f"{_PATH}/{{id}}",
        id="cancel_delete_orders",
        tag="orders",
        access=INSTALLATION_OPERATORS,
        summary="Cancel an order",
        description="What no worker has begun is taken back; an order that is `fallido` is discarded.",
        headers=Match,
        responses={200: ResponseSpec(Moved, "It is cancelled")},
        errors=_CHANGES,
    )
    async def _cancel_order(self, request: HttpRequest) -> HttpResponse:
        await self._check_etag(request)
        return json_response(Moved(await self._intake.lookups.cancel(request.id)))

    @route(
        "POST",
        f"{_PATH}/{{id}}/retry",
        id="retry_post_orders",
        tag="orders",
        access=INSTALLATION_OPERATORS,
        summary="Try a failed order again",
        headers=Match,
        responses={200: ResponseSpec(Moved, "It is queued again")},
        errors=(*_CHANGES, "queue_full"),
    )
    async def _retry_order(self, request: HttpRequest) -> HttpResponse:
        await self._check_etag(request)
        return json_response(Moved(await self._intake.lookups.retry(request.id)))

    @route(
        "GET",
        "/api/v1/stats",
        id="stats_get_orders",
        tag="orders",
        access=INSTALLATION_VIEWERS,
        summary="The intake's numbers",
        description="Orders by state, rates, times and workers, as docs/PROTOCOL.md describes `stats`.",
        responses={200: ResponseSpec(dict[str, Any], "The numbers, as they are now")},
        errors=UPSTREAM_ERRORS,
    )
    async def _show_stats(self, _: HttpRequest) -> HttpResponse:
        return json_response(await self._intake.lookups.stats())

    async def _check_etag(self, request: HttpRequest) -> None:
        if_match = request.headers.if_match
        if if_match is not None:
            check_match(etag_of(await self._intake.lookups.status(request.id)), if_match)


def _order_outcome(found: Accepted | Refused | InvalidParams, request_id: str) -> Outcome:
    if isinstance(found, Accepted):
        return Outcome(accepted=found)
    return Outcome(problem=problem(found, request_id))


def _set_request_id(order: OrderRequest, key: str | None) -> OrderRequest:
    """Returns the order with its key. Raises InvalidParams if it has another one."""
    if key is None:
        return order
    if order.request_id not in (UNSET, key):
        raise InvalidParams("request_id is not the Idempotency-Key", field="request_id", hint="send one of them")
    return structs.replace(order, request_id=key)
