"""The event log: numbers without a gap, pages from any event, bounds in number and in age."""

import sqlite3
import time

from services.distributed.event_log import EventLog
from services.distributed.events import Entry, OrderEvent, PlainEvent
from shared.domain.ids import OrderRange
from shared.domain.states import State


def plain(at: int | None = None) -> PlainEvent:
    return PlainEvent("scores", "score.saved", time.time_ns() // 1000 if at is None else at, {})


def several(count: int) -> OrderEvent:
    now = time.time_ns() // 1000
    return OrderEvent("order.accepted", State.QUEUED, now, [OrderRange(1, 2, 3, count)], ["Ana"] * count)


def add(log: EventLog, *entries: Entry) -> None:
    log.confirm_append(log.append_entries(entries))


def test_pages_begin_with_the_entry_that_has_the_event(connection: sqlite3.Connection) -> None:
    log = EventLog(connection, limit=1000, seconds=1000)
    add(log, plain(), several(5))
    add(log, plain())
    assert [one.number for one in log.read_page(1)] == [1, 2, 7]
    assert [one.number for one in log.read_page(4)] == [2, 7]
    assert [one.number for one in log.read_page(7)] == [7]
    assert log.read_page(8) == []
    assert [one.text.count('"seq":4,') for one in log.read_page(4)[0].entry.event_lines(2)] == [0, 0, 1, 0, 0]


def test_numbers_go_on_when_it_is_opened_again_also_empty(connection: sqlite3.Connection) -> None:
    log = EventLog(connection, limit=1000, seconds=1000)
    add(log, several(5))
    connection.execute("DELETE FROM log")
    again = EventLog(connection, limit=1000, seconds=1000)
    assert (again.next, again.oldest) == (6, 6)


def test_what_is_too_much_or_too_old_is_let_go(connection: sqlite3.Connection) -> None:
    log = EventLog(connection, limit=10, seconds=1000)
    add(log, plain(at=1), several(3), plain(at=1), several(3))
    assert not log.too_long
    log.delete_expired()
    log.confirm_deletion()
    assert log.oldest == 2, "the one behind an event that is kept is kept, however old"
    add(log, several(8))
    assert log.too_long
    log.delete_expired()
    log.confirm_deletion()
    assert (log.oldest, log.next) == (6, 17)
