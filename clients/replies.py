"""Typed answers of the intake: English names, mapped to those of the wire."""

import datetime
import functools
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from clients.errors import Refused
from shared.domain.orders import Item, Priority
from shared.domain.states import State

SUCCESS = b'{"success":true'
"""The first bytes of each positive answer."""

Members = dict[str, Any]
"""The members of an untyped answer."""


class Accepted(
    Struct,
    frozen=True,
    omit_defaults=True,
    rename={"state": "estado", "position": "posicion", "wait_ms": "espera_ms"},
):
    """An order that is on the server's disk. A `duplicate` was stored by an earlier request, and is in `state` now."""

    id: str
    state: State
    position: int | None = None
    wait_ms: int | None = None
    duplicate: bool = False


class StoredOrder(
    Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "state": "estado",
        "customer": "cliente",
        "items": "productos",
        "address": "direccion",
        "priority": "prioridad",
        "attempts": "intentos",
        "received": "recibido",
        "not_before": "no_antes_de",
        "started": "fecha_inicio",
        "finished": "fecha_fin",
        "detail": "detalle",
    },
):
    """An order with its state on the server."""

    id: str
    state: State
    customer: str
    items: list[str | Item]
    address: str
    priority: Priority
    attempts: int
    received: datetime.datetime
    request_id: str | int | None = None
    client_id: str | None = None
    not_before: datetime.datetime | None = None
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    detail: str | None = None
    trace: str | None = None


class Event(Struct, frozen=True, omit_defaults=True, rename={"state": "estado", "when": "cuando", "detail": "detalle"}):
    """A change of an order, or a gap: `missed` is the number of events that a slow reader has lost."""

    event: str
    id: str | None = None
    state: State | None = None
    when: datetime.datetime | None = None
    detail: str | None = None
    missed: int | None = None


class StatusReply(Struct, frozen=True, rename={"order": "pedido"}):
    """Answer to `status`."""

    order: StoredOrder


class Page(Struct, frozen=True, rename={"orders": "pedidos"}):
    """Answer to `list`; `cursor` leads to the next page."""

    orders: list[StoredOrder]
    cursor: str | None


class Moved(Struct, frozen=True, rename={"state": "estado"}):
    """Answer to `cancel` and `retry`."""

    state: State


class StatsReply(Struct, frozen=True):
    """Answer to `stats`."""

    stats: Members


class _SuccessFlag(Struct):
    success: bool


T = TypeVar("T")


def read_answer(kind: type[T], line: bytes, *, exact: bool = False) -> T:
    """Decodes an answer from its line of JSON; with `exact`, numbers become `Decimal`. Raises Refused for an error."""
    if not line.startswith(SUCCESS) and not msgspec.json.decode(line, type=_SuccessFlag).success:
        raise Refused(msgspec.json.decode(line))
    decoder: msgspec.json.Decoder[T] = _get_decoder(cast(Any, kind), exact=exact)
    return decoder.decode(line)


@functools.cache
def _get_decoder(kind: Any, *, exact: bool) -> Any:
    return msgspec.json.Decoder(kind, float_hook=Decimal if exact else None)
