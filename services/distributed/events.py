"""Events as the log stores them, and as observers get them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.domain.ids import OrderRange, id_prefix
from shared.domain.orders import iso_time
from shared.domain.states import TRANSITIONS, State
from shared.stores.ports.feeds import OrderStateChange
from shared.wire.replies import encode_json

EVENTS = {
    "orders": tuple(dict.fromkeys(step.event for step in TRANSITIONS)),
    "scores": ("score.record", "score.saved"),
    "records": ("record.changed", "record.deleted"),
    "notifications": ("notification.added",),
    "stock": ("stock.low", "stock.acknowledged", "stock.recovered", "stock.imported"),
    "purchases": ("purchase.placed", "purchase.ordered", "purchase.completed", "purchase.cancelled"),
}
"""Event names by topic."""

TOPICS = tuple(EVENTS)
"""Topics of subscriptions."""


class OrderEvent(Struct, frozen=True, array_like=True, tag=1):
    """One event of several orders."""

    event: str
    state: State
    at: int
    ranges: Sequence[OrderRange]
    customers: Sequence[str]
    detail: str | None = None

    @property
    def topic(self) -> str:
        return "orders"

    @property
    def count_events(self) -> int:
        return len(self.customers)

    def event_lines(self, number: int) -> "Iterator[EventLine]":
        """Yields each event; the first has this number."""
        tail: dict[str, Any] = {"estado": self.state.value, "cuando": iso_time(self.at)}
        if self.detail is not None:
            tail["detalle"] = self.detail
        start, end = f'{{"event":"{self.event}","seq":', "," + encode_json(tail)[1:].decode() + "\n"
        customers = iter(self.customers)
        for order_range in self.ranges:
            prefix = id_prefix(order_range.received, order_range.node)
            for sequence, customer in zip(order_range.sequences, customers, strict=False):
                order = f"{prefix}{sequence:012x}"
                text = f'{start}{number},"id":"{order}","cliente":{encode_json(customer).decode()}{end}'
                yield EventLine("orders", self.event, text, customer=customer, order=order)
                number += 1


class PlainEvent(Struct, frozen=True, array_like=True, tag=2):
    """One event with its members; `user_id` is its user, if it has one."""

    topic: str
    event: str
    at: int
    members: dict[str, Any]
    user_id: int | None = None

    @property
    def count_events(self) -> int:
        return 1

    def event_lines(self, number: int) -> "Iterator[EventLine]":
        """Yields the event with this number."""
        members = {"event": self.event, "seq": number, **self.members, "cuando": iso_time(self.at)}
        text = encode_json(members).decode() + "\n"
        # Purchases are followed one by one, like orders.
        order = self.members["id"] if self.topic == "purchases" else None
        yield EventLine(self.topic, self.event, text, order=order, user_id=self.user_id)


Entry = OrderEvent | PlainEvent


class EventLine(NamedTuple):
    """One event as a line of JSON, with the members by which observers select."""

    topic: str
    event: str
    text: str
    customer: str | None = None
    order: str | None = None
    user_id: int | None = None


def order_event(change: OrderStateChange) -> OrderEvent:
    """Returns the event that observers of orders receive."""
    step = change.transition
    return OrderEvent(step.event, step.target, change.at, change.ranges, change.customers, change.detail)


encode_entry = msgspec.json.Encoder(decimal_format="number").encode
decode_entry = msgspec.json.Decoder[Entry](Entry).decode
_HEAD = re.compile(r'\[(?:1|2,"(?P<topic>[^"]+)"),"(?P<event>[^"]+)"')


def entry_kind(body: str) -> tuple[str, str]:
    """Returns topic and event name of an encoded entry without decoding the rest."""
    head = _HEAD.match(body)
    assert head is not None, "every entry begins with its tag and its names"
    return head["topic"] or "orders", head["event"]
