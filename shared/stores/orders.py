"""Shared parts of the order stores: numbers of states, ranges of open orders, keys of requests."""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from msgspec import UNSET, Struct
from msgspec.structs import replace

from shared.domain.ids import OrderRange
from shared.domain.orders import OrderRequest, Priority, due_time
from shared.domain.records import text_bytes
from shared.domain.states import State
from shared.stores.ports.orders import Acceptance, OpenRange, OrderBatch

STATES = (State.QUEUED, State.RUNNING, State.DONE, State.FAILED, State.CANCELLED)
"""States by their number in the stores."""

QUEUED, RUNNING, DONE, FAILED, CANCELLED = range(len(STATES))


_SCOPE = "\x1f"


class OrderProgress(Struct, frozen=True, array_like=True, gc=False):
    """The progress of one order; times are microseconds since the epoch."""

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


# Bytes of an order in a reply in addition to its document: names of members, times, the state.
_VIEW_BYTES = 400

NOTHING = OrderProgress()
"""The progress of an order that no worker has begun."""


class OpenOrder(NamedTuple):
    """An order that is not final; orders that differ only in `sequence` can share a range."""

    sequence: int
    received: int
    priority: str | None
    """None means normal."""
    due: int | None
    attempt: int
    rescues: int


def group_open(orders: Iterable[OpenOrder], node: int) -> list[OpenRange]:
    """Groups orders in ascending order to ranges of equal orders."""
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


def split_batch(batch: OrderBatch, acceptance: Acceptance) -> list[OpenRange]:
    """Returns the new orders of a batch as ranges of those that are alike to the queue."""
    orders = acceptance.orders
    requests = [batch.requests[index] for index in acceptance.accepted]
    entries: list[OpenRange] = []
    first = orders.first
    for (priority, due), alike in groupby(requests, lambda request: (request.priority, due_time(request))):
        count = len(list(alike))
        entries.append(OpenRange(OrderRange(orders.received, orders.node, first, count), 0, priority, due))
        first += count
    return entries


def request_key(request: OrderRequest) -> str | None:
    """Returns the idempotency key of an order: `request_id` with the scope of its client; None without one."""
    if request.request_id is UNSET:
        return None
    key = str(request.request_id)
    if request.client_id is not UNSET:
        return f"{_SCOPE}{request.client_id}{_SCOPE}{key}"
    # Names of clients are not empty, so a key without client never equals the key of a client.
    return f"{_SCOPE}{_SCOPE}{key}" if key.startswith(_SCOPE) else key


def answer_bytes(document: str, detail: str | None) -> int:
    """Returns the approximate size of an order in a reply, in bytes."""
    return _VIEW_BYTES + text_bytes(document) + text_bytes(detail or "")


def same_order(one: OrderRequest, other: OrderRequest) -> bool:
    """Whether two requests are equal except for `request_id` and trace."""
    return replace(one, request_id=UNSET, trace=UNSET) == replace(other, request_id=UNSET, trace=UNSET)


def poison_detail(poison: int) -> str:
    """Returns the detail of an order that failed because it killed its workers."""
    return f"its worker died more than {poison} times"
