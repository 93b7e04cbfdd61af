"""Events as the log keeps them, and as observers are told of them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.domain.ids import OrderRange, id_prefix
from shared.domain.orders import iso_time
from shared.domain.states import TRANSITIONS, State
from shared.stores.ports.feeds import Happened
from shared.wire.replies import encode

EVENTS = {
    "orders": tuple(dict.fromkeys(step.event for step in TRANSITIONS)),
    "scores": ("score.record", "score.saved"),
    "records": ("record.changed", "record.deleted"),
    "notifications": ("notification.added",),
    "stock": ("stock.low", "stock.acknowledged", "stock.recovered", "stock.imported"),
}
"""Every event by its topic."""

TOPICS = tuple(EVENTS)
"""What can be subscribed to."""


class OrderEvent(Struct, frozen=True, array_like=True, tag=1):
    """The same event of several orders."""

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
    def events(self) -> int:
        return len(self.customers)

    def told(self, number: int) -> "Iterator[Told]":
        """Each event, the first with this number."""
        tail: dict[str, Any] = {"estado": self.state.value, "cuando": iso_time(self.at)}
        if self.detail is not None:
            tail["detalle"] = self.detail
        start, end = f'{{"event":"{self.event}","seq":', "," + encode(tail)[1:].decode() + "\n"
        customers = iter(self.customers)
        for order_range in self.ranges:
            prefix = id_prefix(order_range.received, order_range.node)
            for sequence, customer in zip(order_range.sequences, customers, strict=False):
                order = f"{prefix}{sequence:012x}"
                text = f'{start}{number},"id":"{order}","cliente":{encode(customer).decode()}{end}'
                yield Told("orders", self.event, text, customer=customer, order=order)
                number += 1


class PlainEvent(Struct, frozen=True, array_like=True, tag=2):
    """One event with its members; `user_id` is whose it is, if anybody's."""

    topic: str
    event: str
    at: int
    members: dict[str, Any]
    user_id: int | None = None

    @property
    def events(self) -> int:
        return 1

    def told(self, number: int) -> "Iterator[Told]":
        """The event, with this number."""
        members = {"event": self.event, "seq": number, **self.members, "cuando": iso_time(self.at)}
        yield Told(self.topic, self.event, encode(members).decode() + "\n", user_id=self.user_id)


Entry = OrderEvent | PlainEvent


class Told(NamedTuple):
    """One event as a line of JSON, and what observers choose by."""

    topic: str
    event: str
    text: str
    customer: str | None = None
    order: str | None = None
    user_id: int | None = None


def order_event(happened: Happened) -> OrderEvent:
    """What observers are told of orders."""
    return OrderEvent(
        happened.event, happened.target, happened.at, happened.ranges, happened.customers, happened.detail
    )


encode_entry = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder[Entry](Entry).decode
_HEAD = re.compile(r'\[(?:1|2,"(?P<topic>[^"]+)"),"(?P<event>[^"]+)"')


def entry_kind(body: str) -> tuple[str, str]:
    """The topic and the event of an encoded entry, without decoding what it is about."""
    head = _HEAD.match(body)
    assert head is not None, "every entry begins with its tag and its names"
    return head["topic"] or "orders", head["event"]
