"""Who is told what; and that nothing is made of events that nobody wants."""

import sqlite3
from collections.abc import Iterator
from typing import Any, cast

import pytest

from services.distributed.event_log import EventLog, Logged
from services.distributed.events import EVENTS, Entry, EventLine, OrderEvent, PlainEvent, encode_entry, entry_kind
from services.distributed.observers import EventObservers, EventSelection
from shared.domain.ids import OrderRange
from shared.domain.states import State
from shared.net.connection import Connection

ORDERS = frozenset({"orders"})


class Observer:
    """Stands in for a connection."""

    observing = False
    unread_bytes = 0

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.told += data.splitlines()

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)


class Unwanted(OrderEvent, frozen=True, array_like=True, tag=1):
    """Fails where a text is made of it."""

    def told(self, number: int) -> Iterator[EventLine]:
        raise AssertionError("nobody wants it")


def orders(event: str, *customers: str, kind: type[OrderEvent] = OrderEvent) -> OrderEvent:
    return kind(event, State.FAILED, 1, [OrderRange(1, 2, 3, len(customers))], customers)


@pytest.fixture
def log(connection: sqlite3.Connection) -> EventLog:
    return EventLog(connection, limit=1000, seconds=1e9)


@pytest.fixture
def observers(log: EventLog) -> EventObservers:
    return EventObservers(log, unread_bytes=10_000)


def names(observer: Observer) -> list[bytes]:
    return [line.split(b'"')[3] for line in observer.told]


def test_observers_are_told_of_the_names_that_they_chose(observers: EventObservers) -> None:
    every, failed, ana = Observer(), Observer(), Observer()
    observers.add(every.connection, EventSelection(ORDERS), 0)
    observers.add(failed.connection, EventSelection(ORDERS, frozenset({"order.failed"})), 0)
    observers.add(ana.connection, EventSelection(ORDERS, frozenset({"order.failed"}), customer="ANA "), 0)
    observers.publish([Logged(1, orders("order.failed", "Ana", "Eva")), Logged(3, orders("order.finished", "Ana"))])
    assert names(every) == [b"order.failed", b"order.failed", b"order.finished"]
    assert names(failed) == [b"order.failed"] * 2
    assert names(ana) == [b"order.failed"]


def test_nothing_is_made_of_events_whose_name_nobody_wants(observers: EventObservers) -> None:
    failed, gone = Observer(), Observer()
    observers.add(failed.connection, EventSelection(ORDERS, frozenset({"order.failed"})), 0)
    observers.add(gone.connection, EventSelection(ORDERS), 0)
    observers.remove(gone.connection)
    entries: list[Entry] = [orders("order.finished", "Ana", kind=Unwanted), orders("order.failed", "Ana")]
    observers.publish([Logged(1, entries[0]), Logged(2, entries[1])])
    assert names(failed) == [b"order.failed"]
    observers.remove(failed.connection)
    observers.publish([Logged(3, orders("order.failed", "Ana", kind=Unwanted))])


async def test_nothing_is_read_of_older_events_whose_name_is_not_wanted(
    observers: EventObservers, log: EventLog, connection: sqlite3.Connection
) -> None:
    log.confirm_append(log.append_entries([orders("order.finished", "Ana", "Eva"), orders("order.failed", "Ana")]))
    connection.execute("""UPDATE log SET body = '[1,"order.finished",nothing more' WHERE number = 1""")
    failed = Observer()
    observers.add(failed.connection, EventSelection(ORDERS, frozenset({"order.failed"})), 0)
    await observers._replays[failed.connection]
    assert names(failed) == [b"order.failed"]
    observers.publish([Logged(4, orders("order.failed", "Eva"))])
    assert len(failed.told) == 2


@pytest.mark.parametrize(("topic", "event"), [(topic, event) for topic in EVENTS for event in EVENTS[topic]])
def test_kind_of_an_entry_is_known_before_it_is_decoded(topic: str, event: str) -> None:
    members: dict[str, Any] = {"event": "other", "text": '","'}
    entry: Entry = orders(event, "Ana") if topic == "orders" else PlainEvent(topic, event, 1, members)
    assert entry_kind(encode_entry(entry).decode()) == (topic, event)
