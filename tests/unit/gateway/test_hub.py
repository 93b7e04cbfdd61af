"""Events for many from one subscription, without sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from clients.errors import Unreachable
from services.gateway.upstream.event_hub import EventFilter, EventHub
from shared.domain.errors import Unavailable
from tests.support.intake import PATIENCE

ORDERS = EventFilter(frozenset({"orders"}))


class Service:
    """Stands in for a client of the distributed service: tells what the test puts in, from any place on."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.news = asyncio.Event()
        self.away = False
        self.subscriptions = 0

    async def __aenter__(self) -> "Service":
        if self.away:
            raise Unreachable("nobody is there")
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def tell(self, event: str, **members: Any) -> None:
        self.log.append(json.dumps({"event": event, "seq": len(self.log) + 1, **members}).encode())
        self.news.set()

    async def subscribe_lines(self, _topics: Any, *, since: int | None = None, **_choice: Any) -> AsyncIterator[bytes]:
        self.subscriptions += 1
        place = len(self.log) if since is None else since
        yield b'{"event":"subscribed","seq":%d}' % place
        while not self.away:
            while place < len(self.log):
                place += 1
                yield self.log[place - 1]
            self.news.clear()
            await self.news.wait()


@pytest.fixture
def service() -> Service:
    return Service()


@contextlib.contextmanager
def open_hub(service: Service, **limits: Any) -> Iterator[EventHub]:
    hub = EventHub(lambda: service, **limits)  # type: ignore[arg-type,return-value]
    yield hub
    hub.close()


@pytest.fixture
async def hub(service: Service) -> AsyncIterator[EventHub]:
    with open_hub(service) as hub:
        yield hub


async def numbers(stream: AsyncIterator[bytes], count: int) -> list[int]:
    """The numbers of so many events."""
    found: list[int] = []
    while len(found) < count:
        text = (await anext(stream)).decode()
        blocks = [block.splitlines() for block in text.split("\n\n") if "data: " in block]
        found += [int(block[0][4:]) for block in blocks if block[0].startswith("id: ")]
    return found


async def test_a_silent_stream_begins_with_its_number_and_has_heartbeats(
    hub: EventHub, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.tell("order.accepted", id="1")
    service.tell("order.accepted", id="2")
    monkeypatch.setattr("services.gateway.upstream.event_hub._SILENCE_SECONDS", 0.0)
    stream = await hub.listen(ORDERS, 2)
    assert await anext(stream) == b"retry: 1000\nid: 2\n\n"
    hub._wake_listeners()
    assert await anext(stream) == b'id: 2\nevent: heartbeat\ndata: {"event":"heartbeat","seq":2}\n\n'


async def test_all_listeners_share_one_subscription(hub: EventHub, service: Service) -> None:
    streams = [await hub.listen(ORDERS, None) for _ in range(5)]
    for stream in streams:
        assert (await anext(stream)).startswith(b"retry")
    service.tell("order.accepted", id="a", cliente="Ana")
    service.tell("order.started", id="a", cliente="Ana")
    for stream in streams:
        assert await numbers(stream, 2) == [1, 2]
    assert service.subscriptions == 1
    assert hub.listeners == 5


async def test_each_gets_what_they_chose(hub: EventHub, service: Service) -> None:
    ana = await hub.listen(EventFilter(frozenset({"orders"}), customer=" ANA\u200b"), None)
    user = await hub.listen(EventFilter(frozenset({"scores"}), user_id=1), None)
    one = await hub.listen(EventFilter(frozenset({"orders"}), order="b"), None)
    service.tell("order.accepted", id="a", cliente="Ana")
    service.tell("order.accepted", id="b", cliente="Eva")
    service.tell("score.saved", user_id=1)
    service.tell("score.saved", user_id=2)
    service.tell("order.finished", id="a", cliente="Ana")
    service.tell("order.finished", id="b", cliente="Eva")
    service.tell("score.saved", user_id=1)
    assert await numbers(ana, 2) == [1, 5]
    assert await numbers(one, 2) == [2, 6]
    assert await numbers(user, 2) == [3, 7]


async def test_what_is_kept_needs_no_subscription_of_its_own(hub: EventHub, service: Service) -> None:
    stream = await hub.listen(ORDERS, None)
    for number in range(4):
        service.tell("order.accepted", id=str(number), cliente="Ana")
    assert await numbers(stream, 4) == [1, 2, 3, 4]
    assert await numbers(await hub.listen(ORDERS, 2), 2) == [3, 4]
    assert service.subscriptions == 1


async def test_what_is_older_is_asked_for(hub: EventHub, service: Service) -> None:
    for number in range(3):
        service.tell("order.accepted", id=str(number), cliente="Ana")
    stream = await hub.listen(ORDERS, 1)
    assert await numbers(stream, 2) == [2, 3]
    assert service.subscriptions == 2


async def test_much_comes_in_pieces_and_in_order(service: Service) -> None:
    with open_hub(service, write_events=3) as hub:
        stream = await hub.listen(EventFilter(frozenset({"orders"}), customer="Ana"), None)
        assert (await anext(stream)).startswith(b"retry")
        for number in range(1, 21):
            service.tell("order.accepted", id=str(number), cliente="Ana" if number % 10 in (0, 1) else "Eva")
        assert await numbers(stream, 4) == [1, 10, 11, 20]


async def test_who_cannot_keep_up_is_told_of_the_gap(service: Service) -> None:
    with open_hub(service, keep_events=3) as hub:
        slow, quick = await hub.listen(ORDERS, None), await hub.listen(ORDERS, None)
        assert (await anext(slow)).startswith(b"retry")
        for number in range(5):
            service.tell("order.accepted", id=str(number), cliente="Ana")
        assert await numbers(quick, 3) == [3, 4, 5]
        assert b'"missed":2' in await anext(slow)
        assert await numbers(slow, 3) == [3, 4, 5]


async def test_while_the_service_is_away_nobody_begins(service: Service) -> None:
    service.away = True
    with open_hub(service, connect_seconds=0.01) as hub, pytest.raises(Unavailable):
        await hub.listen(ORDERS, None)


async def test_who_has_asked_and_not_begun_is_not_forgotten(hub: EventHub, service: Service) -> None:
    stream = await hub.listen(ORDERS, None)
    hub._stop_if_unused()
    service.tell("order.accepted", id="a", cliente="Ana")
    async with asyncio.timeout(PATIENCE):
        assert await numbers(stream, 1) == [1]


async def test_streams_end_with_the_hub(hub: EventHub) -> None:
    stream = await hub.listen(ORDERS, None)
    assert (await anext(stream)).startswith(b"retry")
    hub.close()
    assert [piece async for piece in stream] == []
    assert hub.listeners == 0
