"""Who watches which order."""

from typing import Any, cast

from services.intake.watchers import Watchers
from shared.domain.ids import OrderRange
from shared.domain.states import START
from shared.net.connection import Connection


class Peer:
    """Stands in for a connection, and counts the events that it is sent."""

    observing = False
    unread_bytes = 0

    def __init__(self) -> None:
        self.events = 0

    def send(self, data: bytes) -> None:
        self.events += data.count(b"\n")


def watch(watchers: Watchers, sequence: int | None) -> Any:
    peer = Peer()
    watchers.add(cast(Connection, peer), sequence)
    return peer


def test_each_hears_of_its_own_order_whichever_of_orders_and_watchers_are_more() -> None:
    for others in (0, 1000):
        watchers = Watchers(10_000)
        peers = [watch(watchers, sequence) for sequence in (5, 6, 6, 7)]
        away = [watch(watchers, 100 + number) for number in range(others)]
        watchers.publish(START, [OrderRange(1, 2, 5, 2), OrderRange(1, 2, 9, 1)], 1)
        assert [peer.events for peer in peers] == [1, 1, 1, 0]
        assert not any(peer.events for peer in away)


def test_who_has_left_hears_nothing_and_others_go_on() -> None:
    watchers = Watchers(10_000)
    one, other = watch(watchers, 5), watch(watchers, 5)
    watchers.remove(one)
    watchers.remove(one)
    watchers.add(other, 6)
    watchers.publish(START, [OrderRange(1, 2, 5, 1)], 1)
    assert (one.events, other.events) == (0, 0)
    watchers.publish(START, [OrderRange(1, 2, 6, 1)], 1)
    assert (one.events, other.events) == (0, 1)
