"""Orders over HTTP: placed, looked at, listed, cancelled, tried again; and the intake's numbers."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, structs

from clients.errors import Refused
from clients.intake import IntakeClient
from clients.replies import Accepted, Moved, Page, StoredOrder
from services.gateway.http.bodies import ORDERS
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.problems import Problem, problem
from services.gateway.http.responses import answer, check_match, etag_of, is_named, unchanged
from services.gateway.http.router import ASKING, Answer, Meant, Operation, Request
from services.gateway.upstream.backend import Backend, Work
from shared.domain.errors import InvalidParams
from shared.domain.orders import OrderRequest
from shared.domain.states import State
from shared.wire.orders import EXAMPLE

_PATH = "/api/v1/orders"
Moment = Annotated[datetime.datetime, Meta(tz=True)]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=100)]


class KeyHeader(Struct, frozen=True, rename={"key": "idempotency-key"}):
    """Of new orders."""

    key: Annotated[IdempotencyKey | None, Meta(description="Makes it safe to send the same again")] = None


class OrderQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which orders."""

    estado: State | None = None
    cliente: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    desde: Annotated[Moment | None, Meta(description="Received at this time or later")] = None
    hasta: Annotated[Moment | None, Meta(description="Received before this time")] = None
    limite: Limit = 50
    cursor: Cursor | None = None


class Outcome(Struct, frozen=True, omit_defaults=True):
    """One of the two."""

    accepted: Accepted | None = None
    problem: Problem | None = None


class Outcomes(Struct, frozen=True, rename={"results": "resultados"}):
    """What became of each of several orders, in their order."""

    results: list[Outcome]


class OrderRoutes:
    """Everything that the intake does."""

    def __init__(self, intake: Backend[IntakeClient], *, by_address: bool) -> None:
        self._intake = intake
        self._by_address = by_address

    def operations(self) -> Sequence[Operation]:
        """What can be asked."""
        changes = ("not_found", "invalid_params", "conflict", "precondition_failed", *ASKING)
        return [
            Operation(
                method="POST",
                path=_PATH,
                serve=self._place,
                tag="orders",
                summary="Place one order, or many",
                description="What is answered is on disk. Many come as an array, and each has its own outcome.",
                headers=KeyHeader,
                body=ORDERS,
                example=EXAMPLE,
                answers={
                    201: Meant(Accepted, "The order is accepted"),
                    200: Meant(Accepted, "It was there under this key already"),
                    207: Meant(Outcomes, "What became of each of many"),
                },
                refusals=("conflict", "queue_full", *ASKING),
            ),
            Operation(
                method="GET",
                path=_PATH,
                serve=self._list,
                tag="orders",
                summary="List orders, newest first",
                query=OrderQuery,
                answers={200: Meant(Page, "A page of orders; `cursor` leads to the next one")},
                refusals=ASKING,
            ),
            Operation(
                method="GET",
                path=f"{_PATH}/{{id}}",
                serve=self._show,
                tag="orders",
                summary="Look at an order",
                headers=NoneMatch,
                answers={
                    200: Meant(StoredOrder, "The order"),
                    304: Meant(None, "It is what the ETag stands for"),
                },
                refusals=("not_found", *ASKING),
            ),
            Operation(
                method="DELETE",
                path=f"{_PATH}/{{id}}",
                serve=self._cancel,
                tag="orders",
                summary="Cancel an order",
                description="What no worker has begun is taken back; an order that is `fallido` is discarded.",
                headers=Match,
                answers={200: Meant(Moved, "It is cancelled")},
                refusals=changes,
            ),
            Operation(
                method="POST",
                path=f"{_PATH}/{{id}}/retry",
                serve=self._retry,
                tag="orders",
                summary="Try a failed order again",
                headers=Match,
                answers={200: Meant(Moved, "It is queued again")},
                refusals=(*changes, "queue_full"),
            ),
            Operation(
                method="GET",
                path=f"{_PATH}/{{id}}/explain",
                serve=self._explain,
                tag="orders",
                summary="See what happened to an order",
                description="The steps with their times, and each failed attempt with its error, place and traceback.",
                answers={200: Meant(dict[str, Any], "What happened, as docs/PROTOCOL.md describes `explain`")},
                refusals=("not_found", *ASKING),
            ),
            Operation(
                method="GET",
                path="/api/v1/stats",
                serve=self._stats,
                tag="orders",
                summary="The intake's numbers",
                description="Orders by state, rates, times and workers, as docs/PROTOCOL.md describes `stats`.",
                answers={200: Meant(dict[str, Any], "The numbers, as they are now")},
                refusals=ASKING,
            ),
        ]

    async def _place(self, request: Request) -> Answer:
        key: str | None = request.headers.key
        if isinstance(request.body, list):
            return await self._place_many(request.body, key, request)
        order = self._keyed(request.body, key, request)
        accepted = await self._intake.ask(lambda client: client.order(order, add_request_id=False), Work.AT_ONCE)
        return answer(accepted, status=200 if accepted.duplicate else 201, location=f"{_PATH}/{accepted.id}")

    async def _place_many(
        self, orders: list[OrderRequest | InvalidParams], key: str | None, request: Request
    ) -> Answer:
        keyed = [self._member(order, key, place, request) for place, order in enumerate(orders)]
        good = [order for order in keyed if isinstance(order, OrderRequest)]
        found = iter(await self._intake.ask(lambda client: client.orders(good), Work.AT_ONCE) if good else ())
        outcomes = [next(found) if isinstance(order, OrderRequest) else order for order in keyed]
        return answer(Outcomes([_outcome(one, request.request_id) for one in outcomes]), status=207)

    def _member(
        self, order: OrderRequest | InvalidParams, key: str | None, place: int, request: Request
    ) -> OrderRequest | InvalidParams:
        """Returns the order of an array under its key, or its error, which costs no other order."""
        try:
            key = None if key is None else f"{key}:{place}"
            return order if isinstance(order, InvalidParams) else self._keyed(order, key, request)
        except InvalidParams as error:
            return error

    def _keyed(self, order: OrderRequest, key: str | None, request: Request) -> OrderRequest:
        """Returns the order under its key and that of its client. Raises InvalidParams for a second key."""
        order = _under_key(order, key)
        if self._by_address and order.request_id is not UNSET and order.client_id is UNSET:
            # The intake would see the gateway's own address.
            order = structs.replace(order, client_id=request.address)
        return order

    async def _list(self, request: Request) -> Answer:
        query: OrderQuery = request.query
        page = await self._intake.lists.ask(
            lambda client: client.page(
                state=query.estado,
                customer=query.cliente,
                since=query.desde,
                until=query.hasta,
                page_size=query.limite,
                cursor=query.cursor,
            )
        )
        return answer(page)

    async def _show(self, request: Request) -> Answer:
        order = await self._intake.ask(lambda client: client.status(request.id))
        etag = etag_of(order)
        return unchanged(etag) if is_named(etag, request.headers.if_none_match) else answer(order, etag=etag)

    async def _explain(self, request: Request) -> Answer:
        return answer(await self._intake.ask(lambda client: client.explain(request.id)))

    async def _cancel(self, request: Request) -> Answer:
        await self._check(request)
        return answer(Moved(await self._intake.ask(lambda client: client.cancel(request.id))))

    async def _retry(self, request: Request) -> Answer:
        await self._check(request)
        return answer(Moved(await self._intake.ask(lambda client: client.retry(request.id))))

    async def _stats(self, _: Request) -> Answer:
        return answer(await self._intake.ask(lambda client: client.stats()))

    async def _check(self, request: Request) -> None:
        if_match = request.headers.if_match
        if if_match is not None:
            check_match(etag_of(await self._intake.ask(lambda client: client.status(request.id))), if_match)


def _outcome(found: Accepted | Refused | InvalidParams, request_id: str) -> Outcome:
    if isinstance(found, Accepted):
        return Outcome(accepted=found)
    return Outcome(problem=problem(found, request_id))


def _under_key(order: OrderRequest, key: str | None) -> OrderRequest:
    """The order under its key. Raises InvalidParams where it has another one of its own."""
    if key is None:
        return order
    if order.request_id not in (UNSET, key):
        raise InvalidParams("request_id is not the Idempotency-Key", field="request_id", hint="send one of them")
    return structs.replace(order, request_id=key)
