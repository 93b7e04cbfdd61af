"""What the adapters of orders have in common: numbers of states, and open orders as ranges."""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import UNSET, Struct
from msgspec.structs import replace

from shared.domain.ids import OrderRange
from shared.domain.orders import OrderRequest, Priority
from shared.domain.records import text_bytes
from shared.domain.states import State
from shared.stores.ports.orders import OpenRange

STATES = (State.QUEUED, State.RUNNING, State.DONE, State.FAILED, State.CANCELLED)
"""States by the number under which stores keep them."""

QUEUED, RUNNING, DONE, FAILED, CANCELLED = range(len(STATES))


_SCOPE = "\x1f"


class OrderProgress(Struct, frozen=True, array_like=True, gc=False):
    """What has happened to one order; times are microseconds since the epoch."""

    state: int = QUEUED
    attempt: int = 0
    worker: str | None = None
    stored: int | None = None
    queued: int | None = None
    started: int | None = None
    failures: int = 0
    rescues: int = 0
    detail: str | None = None
    due: int | None = None
    finished: int | None = None


# What an answer has for an order besides its document: names of members, times, the state.
_VIEW_BYTES = 400

NOTHING = OrderProgress()
"""Of an order that nobody has touched since it was accepted."""


class OpenOrder(NamedTuple):
    """An order that is not final; orders that differ in `sequence` alone are alike."""

    sequence: int
    received: int
    priority: str | None
    """None is the normal one."""
    due: int | None
    attempt: int
    rescues: int


def group_open(orders: Iterable[OpenOrder], node: int) -> list[OpenRange]:
    """Orders in ascending order, as ranges of those that are alike."""
    groups: list[OpenRange] = []
    alike: tuple[int, str | None, int | None, int, int] | None = None
    first = count = 0

    def close_group() -> None:
        if alike is not None:
            received, priority, due, attempt, rescues = alike
            level = Priority.NORMAL if priority is None else Priority(priority)
            groups.append(OpenRange(OrderRange(received, node, first, count), attempt, level, due, rescues))

    for sequence, received, priority, due, attempt, rescues in orders:
        this = (received, priority, due, attempt, rescues)
        if alike == this and sequence == first + count:
            count += 1
            continue
        close_group()
        alike, first, count = this, sequence, 1
    close_group()
    return groups


def request_key(request: OrderRequest) -> str | None:
    """Returns what an order's `request_id` is kept under, with the client that it is of; None without one."""
    if request.request_id is UNSET:
        return None
    key = str(request.request_id)
    if request.client_id is not UNSET:
        return f"{_SCOPE}{request.client_id}{_SCOPE}{key}"
    # No client is named by an empty text, so a key of nobody's never looks like one of somebody's.
    return f"{_SCOPE}{_SCOPE}{key}" if key.startswith(_SCOPE) else key


def answer_bytes(document: str, detail: str | None) -> int:
    """Returns about how much of an answer an order takes, in bytes."""
    return _VIEW_BYTES + text_bytes(document) + text_bytes(detail or "")


def same_order(one: OrderRequest, other: OrderRequest) -> bool:
    """Whether two requests are the same but for their `request_id` and what they serve."""
    return replace(one, request_id=UNSET, trace=UNSET) == replace(other, request_id=UNSET, trace=UNSET)


def poison_detail(poison: int) -> str:
    """Why an order that its workers died over is given up."""
    return f"its worker died more than {poison} times"
