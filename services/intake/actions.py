"""The actions of the intake besides placing an order: each with its request, its verb, its help and its handler."""

import asyncio
import base64
import binascii
import datetime
import re
import shlex
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from services.intake.server import IntakeServer
from shared.domain.errors import Conflict, InvalidParams, UnknownAction
from shared.domain.ids import parse_id
from shared.domain.orders import Order, attempt_view, iso_time, order_view
from shared.domain.states import State
from shared.net.connection import Connection
from shared.server.actions import ActionRegistry, Members, Request, Verb
from shared.server.common import Help, declare_common
from shared.stores.ports.orders import OrderListQuery
from shared.wire.orders import EXAMPLE
from shared.wire.replies import encode_json
from shared.wire.strict_json import did_you_mean, shorten_text

_OPEN = (State.QUEUED, State.RUNNING)
_WORD = re.compile(r"[A-Za-z_]+")
_ID = {"id": "…"}
_ORDER_HELP = """\
cliente       who orders: text
productos     what: names, or objects with producto, cantidad (1) and precio (optional)
direccion     where to: text
request_id    optional: sent again under the same request_id, an order is stored once
client_id     optional: whose the request_id is; others may use the same one
prioridad     optional: alta, normal or baja
no_antes_de   optional: a time such as 2030-01-31T08:00:00Z before which it is not begun"""

OrderId = Annotated[str, Meta(min_length=1, max_length=64)]
AwareTime = Annotated[datetime.datetime, Meta(tz=True)]


def _refuse_unknown(registry: ActionRegistry[Any], what: str, name: str) -> UnknownAction:
    """Returns the error about an action or a verb that there is not, which may have been meant for an order."""
    shown = shorten_text(name)
    hint = did_you_mean(shown, [*registry.actions, *registry.verbs]) if _WORD.fullmatch(shown) else None
    known = f"known: {', '.join(registry.actions)}; an order is a JSON object"
    return UnknownAction(f"there is no {what} {shown!r}", hint=hint or known)


ACTIONS: ActionRegistry[IntakeServer] = ActionRegistry(_refuse_unknown)

R = TypeVar("R", bound=Request)
T = TypeVar("T")
Handler = Callable[[IntakeServer, R, Connection], T]


def _require_reader(handler: Handler[R, T]) -> Handler[R, T]:
    """Returns the handler of an action that needs `INTAKE_READ_TOKEN`, if that is set."""

    @wraps(handler)
    def check_and_handle(server: IntakeServer, request: R, connection: Connection) -> T:
        server.check_reader(connection)
        return handler(server, request, connection)

    return check_and_handle


class Status(Request, frozen=True, tag="status"):
    """An order."""

    id: OrderId


@ACTIONS.aside(
    Status,
    verb=Verb("id"),
    usage=[("help order", "an example, and what its fields mean"), ("status ID", "one order")],
    example=_ID,
)
@_require_reader
async def show_status(server: IntakeServer, request: Status, _: Connection) -> Members:
    """Reads an order."""
    return {"pedido": order_view(await server.find_order(request.id))}


class Explain(Request, frozen=True, tag="explain"):
    """The steps of an order, and their times."""

    id: OrderId


@ACTIONS.aside(Explain, verb=Verb("id"), usage=[("explain ID", "what happened to it, and when")], example=_ID)
@_require_reader
async def explain_order(server: IntakeServer, request: Explain, _: Connection) -> Members:
    """Reads an order, its steps, and the errors of its attempts."""
    order = await server.find_order(request.id)
    stored = order.stored
    if stored is None and order.state is State.QUEUED:
        stored = server.lifecycle.stored_at(_parse_sequence(order.id))
    moments = (
        ("received", order.received),
        ("stored", stored),
        ("queued", order.queued),
        ("started", order.started),
        ("finished", order.finished),
    )
    answer: dict[str, Any] = {
        "id": order.id,
        "estado": order.state.value,
        "intento": order.attempt,
        "worker": order.worker,
        "pasos": [
            {"paso": name, "cuando": iso_time(moment), "ms": round((moment - order.received) / 1000, 3)}
            for name, moment in moments
            if moment is not None
        ],
    }
    if order.detail is not None:
        answer["detalle"] = order.detail
    if failed := await server.store.attempts(order.id):
        answer["errores"] = [attempt_view(one) for one in failed]
    return answer


class ListOrders(Request, frozen=True, tag="list"):
    """A page of orders, newest first."""

    estado: State | None = None
    cliente: str | None = None
    desde: AwareTime | None = None
    hasta: AwareTime | None = None
    limite: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


def _parse_list(text: str) -> dict[str, Any]:
    """Returns the members of `list` from words like `listo` and `cliente="Ana Paz"`. Raises InvalidParams."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidParams(f"the line cannot be read: {str(error).lower()}", hint='write cliente="Ana Paz"') from None
    members: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "estado", word
        members[name.lower()] = value.lower().replace("_", " ") if name.lower() == "estado" else value
    return members


@ACTIONS.aside(
    ListOrders,
    verb=Verb(parse=_parse_list),
    usage=[("list [ESTADO] [cliente=NAME] [limite=N]", "newest first, as in: list en_proceso limite=5")],
)
@_require_reader
async def list_orders(server: IntakeServer, request: ListOrders, _: Connection) -> Members:
    """Reads a page of orders. Raises InvalidParams for a cursor that `list` has not given."""
    query = OrderListQuery(
        state=request.estado,
        customer=request.cliente,
        since=None if request.desde is None else round(request.desde.timestamp() * 1e6),
        until=None if request.hasta is None else round(request.hasta.timestamp() * 1e6),
        limit=request.limite,
        before=None if request.cursor is None else _decode_cursor(request.cursor),
        among=None if request.estado not in _OPEN else server.lifecycle.ranges(running=request.estado is State.RUNNING),
    )
    page = await server.store.list(query)
    cursor = None if page.before is None else _encode_cursor(page.before)
    # A page is up to a mebibyte: what takes milliseconds is done beside the event loop.
    return {"pedidos": await asyncio.to_thread(_encode_views, page.orders), "cursor": cursor}


class Watch(Request, frozen=True, tag="watch"):
    """Every change of all orders, or of one."""

    id: OrderId | None = None


@ACTIONS.aside(
    Watch,
    verb=Verb("id"),
    usage=[("watch [ID]", "every change of state, of all orders or of one; unwatch ends it")],
    example=_ID,
)
@_require_reader
async def watch_orders(server: IntakeServer, request: Watch, connection: Connection) -> Members:
    """Sends the connection changes from now on."""
    if request.id is None:
        server.lifecycle.watch(connection, None)
        return {"watching": "all"}
    order = await server.find_order(request.id)
    server.lifecycle.watch(connection, _parse_sequence(order.id))
    return {"watching": order.id, "estado": order.state.value}


class Unwatch(Request, frozen=True, tag="unwatch"):
    """Ends the events."""


@ACTIONS.immediate(Unwatch, verb=Verb())
def unwatch_orders(server: IntakeServer, _: Unwatch, connection: Connection) -> Members:
    """Ends the events of the connection."""
    server.lifecycle.unwatch(connection)
    return {"watching": None}


def _describe_order(_: IntakeServer, request: "CancelOrder | RetryOrder") -> Members:
    return {"id": request.id.lower()}


class CancelOrder(Request, frozen=True, tag="cancel"):
    """Takes back an order that no worker has begun, or discards one that has failed."""

    id: OrderId


@ACTIONS.aside(
    CancelOrder,
    verb=Verb("id"),
    usage=[("cancel ID", "takes back an order that is en cola, discards one that is fallido")],
    example=_ID,
    audited=_describe_order,
)
@_require_reader
async def cancel_order(server: IntakeServer, request: CancelOrder, connection: Connection) -> Members:
    """Cancels an order. Raises Conflict where its state does not allow that, and Unauthorized."""
    await server.check_owner(connection, request.id)
    state = await server.lifecycle.cancel(request.id)
    if state is not None:
        raise Conflict(
            f"the order is {state.value} and can no longer be cancelled",
            field="id",
            hint=f"only an order that is {State.QUEUED.value} or {State.FAILED.value} can be cancelled",
            details={"estado": state.value},
        )
    return {"id": request.id.lower(), "estado": State.CANCELLED.value}


class RetryOrder(Request, frozen=True, tag="retry"):
    """One more attempt for an order that failed."""

    id: OrderId


@ACTIONS.aside(
    RetryOrder,
    verb=Verb("id"),
    usage=[("retry ID", "one more attempt for an order that is fallido")],
    example=_ID,
    audited=_describe_order,
)
@_require_reader
async def retry_order(server: IntakeServer, request: RetryOrder, connection: Connection) -> Members:
    """Queues a failed order again. Raises QueueFull, Conflict where it has not failed, and Unauthorized."""
    await server.check_owner(connection, request.id)
    state = await server.lifecycle.reopen(request.id)
    if state is not None:
        raise Conflict(
            f"the order is {state.value}, not {State.FAILED.value}",
            field="id",
            hint=f"only an order that is {State.FAILED.value} can be tried again",
            details={"estado": state.value},
        )
    return {"id": request.id.lower(), "estado": State.QUEUED.value}


class Stats(Request, frozen=True, tag="stats"):
    """The numbers of orders, their times, and the workers."""


@ACTIONS.immediate(Stats, verb=Verb(), usage=[("stats", "numbers")])
@_require_reader
def show_stats(server: IntakeServer, _: Stats, __: Connection) -> Members:
    """Counts from memory."""
    return {"stats": server.describe_stats()}


class Authenticate(Request, frozen=True, tag="authenticate"):
    """The token with which a connection may do more than order."""

    token: str


@ACTIONS.immediate(
    Authenticate,
    verb=Verb("token"),
    usage=[("authenticate TOKEN", "first, if the server lets only some see orders")],
    example={"token": "…"},
)
def authenticate_reader(server: IntakeServer, request: Authenticate, connection: Connection) -> Members:
    """Lets the connection read and change orders. Raises Unauthorized for a wrong token."""
    server.readers.authenticate(connection, request.token)
    return {"authenticated": True}


def _describe_order_help() -> Members:
    return {"help": _ORDER_HELP.splitlines(), "example": EXAMPLE}


declare_common(
    ACTIONS,
    Request,
    Help(
        20,
        opening=["Paste an order as JSON, on one line or many; the answer comes when it is on disk."],
        closing=['Each verb is an action, too: {"action":"status","id":ID}'],
        topics={"order": _describe_order_help, "pedido": _describe_order_help},
    ),
)


def _parse_sequence(order_id: str) -> int:
    parts = parse_id(order_id)
    assert parts is not None, "ids of stored orders have parts"
    return parts[2]


def _encode_views(orders: Sequence[Order]) -> msgspec.Raw:
    return msgspec.Raw(encode_json([order_view(order) for order in orders]))


def _encode_cursor(before: int) -> str:
    return base64.urlsafe_b64encode(before.to_bytes(6, "big")).decode()


def _decode_cursor(text: str) -> int:
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 6:
        raise InvalidParams("cursor is not one that list gave", field="cursor", hint="leave it out for the first page")
    return int.from_bytes(raw, "big")
