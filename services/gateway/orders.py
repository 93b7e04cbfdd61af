"""Orders over HTTP: placed, looked at, listed, cancelled, tried again."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Response, delete, get, post
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, Parameter
from msgspec import UNSET, Meta, Struct, structs

from clients.errors import Refused
from clients.intake import IntakeClient
from clients.replies import Accepted, Moved, Page, StoredOrder
from services.gateway.answers import answer, check_match, etag_of, is_named, refusals, unchanged
from services.gateway.backend import Backend
from services.gateway.problems import Problem, problem
from shared.domain.errors import InvalidParams, TooLarge
from shared.domain.orders import OrderRequest
from shared.domain.states import State
from shared.wire.orders import EXAMPLE

OrderId = Annotated[str, Parameter(description="As `POST` answered it")]
Limit = Annotated[int, Parameter(ge=1, le=1000, description="How many, at most")]
Cursor = Annotated[str | None, Parameter(max_length=200, description="From the page before")]
Moment = Annotated[datetime.datetime | None, Parameter(description="A time with its zone")]
Key = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key", min_length=1, max_length=100, description="Makes it safe to send the same again"
    ),
]
IfMatch = Annotated[str | None, Parameter(header="If-Match", description="The ETag that was seen")]
IfNoneMatch = Annotated[str | None, Parameter(header="If-None-Match", description="The ETag that is there already")]
Orders = Annotated[list[OrderRequest], Meta(min_length=1, max_length=1000)]


class Outcome(Struct, frozen=True, omit_defaults=True):
    """One of the two."""

    accepted: Accepted | None = None
    problem: Problem | None = None


class Outcomes(Struct, frozen=True, rename={"results": "resultados"}):
    """What became of each of several orders, in their order."""

    results: list[Outcome]


def order_routes(intake: Backend[IntakeClient], *, max_orders: int) -> Sequence[BaseRouteHandler]:
    """Everything below /api/v1/orders."""

    @post(
        "/api/v1/orders",
        tags=["orders"],
        summary="Place one order, or many",
        description="An order is on disk when it is answered. Many come as an array, and each has its own outcome.",
        responses={
            200: ResponseSpec(Accepted, generate_examples=False, description="It was there under this key already"),
            207: ResponseSpec(Outcomes, generate_examples=False, description="What became of each of many"),
            **refusals(
                "invalid_json",
                "unsupported_media_type",
                "invalid_params",
                "conflict",
                "timeout",
                "queue_full",
                "deadline_exceeded",
            ),
        },
    )
    async def place(
        data: JSONBody[OrderRequest | Orders], request: Any, idempotency_key: Key = None
    ) -> Response[Accepted]:
        if isinstance(data, list):
            return await place_many(data, request.scope["request_id"], idempotency_key)
        order = _keyed(data, idempotency_key)
        accepted = await intake.ask(lambda client: client.order(order, add_request_id=False))
        where = {"Location": f"/api/v1/orders/{accepted.id}"}
        return answer(accepted, status=200 if accepted.duplicate else 201, headers=where)

    async def place_many(orders: list[OrderRequest], request_id: str, key: str | None) -> Response[Any]:
        if not orders:
            raise InvalidParams("the array is empty", hint="put orders into it", example=[EXAMPLE])
        if len(orders) > max_orders:
            raise TooLarge(
                f"{len(orders)} orders are too many at once", hint=f"the limit is MAX_ARRAY_ORDERS={max_orders}"
            )
        keyed = [_keyed(order, None if key is None else f"{key}:{place}") for place, order in enumerate(orders)]
        found = await intake.ask(lambda client: client.orders(keyed))
        return answer(Outcomes([_outcome(one, request_id) for one in found]), status=207)

    @get(
        "/api/v1/orders",
        tags=["orders"],
        summary="List orders, newest first",
        responses=refusals("invalid_params", "deadline_exceeded"),
    )
    async def listed(
        estado: State | None = None,
        cliente: Annotated[str | None, Parameter(max_length=200)] = None,
        desde: Moment = None,
        hasta: Moment = None,
        limite: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[Page]:
        for name, moment in (("desde", desde), ("hasta", hasta)):
            if moment is not None and moment.tzinfo is None:
                raise InvalidParams(f"{name} has no time zone", field=name, hint="write it like 2030-01-31T08:00:00Z")
        page = await intake.ask(
            lambda client: client.page(
                state=estado, customer=cliente, since=desde, until=hasta, page_size=limite, cursor=cursor
            )
        )
        return answer(page)

    @get(
        "/api/v1/orders/{id:str}",
        tags=["orders"],
        summary="Look at an order",
        responses={
            304: ResponseSpec(None, generate_examples=False, description="It is what the ETag stands for"),
            **refusals("not_found", "invalid_params", "deadline_exceeded"),
        },
    )
    async def shown(id: OrderId, if_none_match: IfNoneMatch = None) -> Response[StoredOrder]:  # noqa: A002
        order = await intake.ask(lambda client: client.status(id))
        etag = etag_of(order)
        return unchanged(etag) if is_named(etag, if_none_match) else answer(order, etag=etag)

    changes = refusals("not_found", "invalid_params", "conflict", "precondition_failed", "deadline_exceeded")

    @delete(
        "/api/v1/orders/{id:str}",
        tags=["orders"],
        status_code=200,
        summary="Cancel an order",
        description="Only what no worker has begun can be taken back.",
        responses=changes,
    )
    async def cancelled(id: OrderId, if_match: IfMatch = None) -> Response[Moved]:  # noqa: A002
        await check(id, if_match)
        return answer(Moved(await intake.ask(lambda client: client.cancel(id))))

    @post(
        "/api/v1/orders/{id:str}/retry",
        tags=["orders"],
        status_code=200,
        summary="Try a failed order again",
        responses={**changes, **refusals("queue_full")},
    )
    async def retried(id: OrderId, if_match: IfMatch = None) -> Response[Moved]:  # noqa: A002
        await check(id, if_match)
        return answer(Moved(await intake.ask(lambda client: client.retry(id))))

    async def check(order_id: str, if_match: str | None) -> None:
        if if_match is not None:
            check_match(etag_of(await intake.ask(lambda client: client.status(order_id))), if_match)

    return [place, listed, shown, cancelled, retried]


def _outcome(found: Accepted | Refused, request_id: str) -> Outcome:
    if isinstance(found, Refused):
        return Outcome(problem=problem(found, request_id))
    return Outcome(accepted=found)


def _keyed(order: OrderRequest, key: str | None) -> OrderRequest:
    """The order under its key. Raises InvalidParams where it has another one of its own."""
    if key is None:
        return order
    if order.request_id not in (UNSET, key):
        raise InvalidParams("request_id is not the Idempotency-Key", field="request_id", hint="send one of them")
    return structs.replace(order, request_id=key)
