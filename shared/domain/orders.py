"""Types of an order: the request as a client sends it, and the order as the store keeps it."""

import datetime
import enum
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.domain.states import State

RequestId = Annotated[str, Meta(min_length=1, max_length=128)] | Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""The caller's id of a request; in an order also its idempotency key."""

ClientId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""The scope of a `request_id`: the same key of another client is another key."""

Trace = Annotated[str, Meta(min_length=1, max_length=128)]
"""The id of the originating request in the logs of all servers."""

DeadlineMs = Annotated[int, Meta(ge=1, le=86_400_000)]
"""The deadline of a request, in milliseconds from its arrival; a server does not process it later."""

UserName = Annotated[str, Meta(min_length=1, max_length=128)]
"""The user or program on whose behalf a request is sent, for the audit log."""

MAX_PRICE = Decimal(10**12)
PRICE_DECIMALS = 6


class Priority(enum.StrEnum):
    """Priority of an order; waiting orders age, so no level starves."""

    HIGH = "alta"
    NORMAL = "normal"
    LOW = "baja"


class Item(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"name": "producto", "quantity": "cantidad", "price": "precio"},
):
    """One product of an order with its quantity. Raises ValueError for a price out of range."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    price: Decimal | None = None

    def __post_init__(self) -> None:
        price = self.price
        if price is None:
            return
        if not price.is_finite() or not 0 <= price <= MAX_PRICE:
            raise ValueError("precio must be a number from 0 to 10^12")
        exponent = price.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > PRICE_DECIMALS:
            raise ValueError(f"precio must have at most {PRICE_DECIMALS} decimals")


class OrderRequest(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={
        "customer": "cliente",
        "items": "productos",
        "address": "direccion",
        "priority": "prioridad",
        "not_before": "no_antes_de",
    },
):
    """An order as a client sends it; `shared.wire.orders` checks the rules that the types cannot express."""

    customer: Annotated[str, Meta(min_length=1, max_length=200)]
    items: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=200)] | Item],
        Meta(min_length=1, max_length=1000),
    ]
    address: Annotated[str, Meta(min_length=1, max_length=500)]
    request_id: RequestId | UnsetType = UNSET
    priority: Priority = Priority.NORMAL
    not_before: Annotated[datetime.datetime, Meta(tz=True)] | UnsetType = UNSET
    trace: Trace | UnsetType = UNSET
    deadline_ms: DeadlineMs | UnsetType = UNSET
    client_id: ClientId | UnsetType = UNSET


class Order(Struct, frozen=True, kw_only=True):
    """An order as the store keeps it.

    Times are microseconds since the epoch; None means that the event has not happened. `attempt` is the number of
    attempts begun, `worker` names the last worker, `detail` is the last error.
    """

    id: str
    state: State
    request: OrderRequest
    received: int
    stored: int | None = None
    queued: int | None = None
    started: int | None = None
    finished: int | None = None
    attempt: int = 0
    worker: str | None = None
    detail: str | None = None


class FailedAttempt(Struct, frozen=True, array_like=True):
    """An attempt whose handler raised an exception; `finished` is microseconds since the epoch."""

    attempt: int
    finished: int
    detail: str
    place: str | None = None
    """The position of the exception, as `file:line function`."""
    traceback: str | None = None


def due_time(request: OrderRequest) -> int | None:
    """Returns the earliest start of a request, in microseconds since the epoch; None means at once."""
    return None if request.not_before is UNSET else round(request.not_before.timestamp() * 1_000_000)


def iso_time(microseconds: int) -> str:
    """Returns a time in the format of all replies: RFC 3339 in UTC with six decimals."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_format_second(seconds)}.{fraction:06}Z"


@lru_cache(maxsize=1024)
def _format_second(seconds: int) -> str:
    # Most times are those of now: formatting takes ten times as long as finding the second.
    return (_EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def order_view(order: Order) -> dict[str, Any]:
    """Returns an order as clients see it: `pedido` in the protocol."""
    request = order.request
    view: dict[str, Any] = {
        "id": order.id,
        "estado": order.state.value,
        "cliente": request.customer,
        "productos": request.items,
        "direccion": request.address,
        "prioridad": request.priority.value,
        "intentos": order.attempt,
        "recibido": iso_time(order.received),
    }
    if request.request_id is not UNSET:
        view["request_id"] = request.request_id
    if request.client_id is not UNSET:
        view["client_id"] = request.client_id
    if request.not_before is not UNSET:
        view["no_antes_de"] = request.not_before
    if request.trace is not UNSET:
        view["trace"] = request.trace
    for name, moment in (("fecha_inicio", order.started), ("fecha_fin", order.finished)):
        if moment is not None:
            view[name] = iso_time(moment)
    if order.detail is not None:
        view["detalle"] = order.detail
    return view


def attempt_view(failed: FailedAttempt) -> dict[str, Any]:
    """Returns a failed attempt as clients see it: one of `errores` in the protocol."""
    view = {"intento": failed.attempt, "cuando": iso_time(failed.finished), "detalle": failed.detail}
    if failed.place is not None:
        view["lugar"] = failed.place
    if failed.traceback is not None:
        view["traza"] = failed.traceback
    return view


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
