"""The intake's answers, typed. Names are English here and map to those of the wire."""

import datetime
from typing import Any

from msgspec import Struct

from shared.domain.orders import Item, Priority
from shared.domain.states import State


class Accepted(
    Struct,
    frozen=True,
    omit_defaults=True,
    rename={"state": "estado", "position": "posicion", "wait_ms": "espera_ms"},
):
    """An order is on the server's disk. A `duplicate` was there before, and is in `state` now."""

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
    """An order as the server knows it."""

    id: str
    state: State
    customer: str
    items: list[str | Item]
    address: str
    priority: Priority
    attempts: int
    received: datetime.datetime
    request_id: str | int | None = None
    not_before: datetime.datetime | None = None
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    detail: str | None = None


class Event(Struct, frozen=True, omit_defaults=True, rename={"state": "estado", "when": "cuando", "detail": "detalle"}):
    """A change of an order, or a gap: `missed` events that were dropped for a slow reader."""

    event: str
    id: str | None = None
    state: State | None = None
    when: datetime.datetime | None = None
    detail: str | None = None
    missed: int | None = None


Members = dict[str, Any]
"""The members of an answer that has no type of its own."""
