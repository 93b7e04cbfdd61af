"""The event hub: one subscription for all listeners. It keeps the newest events; each listener has a position.

A listener costs its place in the ring and nothing that grows: one that cannot keep up falls off its end, and is
told that there is a gap.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec import Struct

from clients.distributed import DistributedClient
from clients.errors import ClientError, Refused
from shared.domain.errors import NotOffered, Unavailable
from shared.domain.names import is_same_name

PURCHASES = "purchases"
"""Topic of the purchases of all tenants."""
TOPICS = ("orders", "scores", "notifications", "stock", PURCHASES)
"""Topics of the events that the gateway sends."""
PERSONAL = frozenset({"scores", "notifications"})
"""Topics with events of users: each user only gets their own."""

# Listeners are woken together, so that each gets several events with one write.
_TICK_SECONDS = 0.02
_PAUSE_SECONDS = 0.5
_LINGER_SECONDS = 10.0
# A heartbeat is sent at least so often: proxies take silence for the end.
_SILENCE_SECONDS = 15.0


class _Head(Struct, rename={"customer": "cliente", "order": "id"}):
    """The members of an event that select its listeners."""

    event: str
    seq: int = 0
    customer: str | None = None
    order: str | int | None = None
    user_id: int | None = None


class EventFilter(NamedTuple):
    """The events that a listener selects; None selects all. Personal topics are only for `user_id`."""

    topics: frozenset[str]
    customer: str | None = None
    order: str | None = None
    user_id: int | None = None


class _KeptEvent(NamedTuple):
    topic: str
    head: _Head
    frame: bytes


_decode = msgspec.json.Decoder(_Head).decode
_TOPICS = {
    "order": "orders",
    "score": "scores",
    "notification": "notifications",
    "stock": "stock",
    "purchase": PURCHASES,
}


class EventHub:
    """Subscribes to the distributed service with a client of `subscriber` while there are listeners.

    It keeps the newest `keep_events`, and gives a listener at most `write_events` at a time: these wait in memory until
    the listener has read them. A new listener waits at most `connect_seconds` for the distributed service.
    """

    def __init__(
        self,
        subscriber: Callable[[], DistributedClient],
        *,
        absent: Callable[[], NotOffered] | None = None,
        keep_events: int = 20_000,
        write_events: int = 500,
        connect_seconds: float = 2.0,
    ) -> None:
        self._subscriber = subscriber
        self._absent = absent
        self._write_events = write_events
        self._connect_seconds = connect_seconds
        self._kept: deque[_KeptEvent] = deque(maxlen=keep_events)
        self._first = 0
        """The place of the oldest that is kept; places count up without end."""
        self._seq: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._silence = self._loop.call_later(_SILENCE_SECONDS, self._wake_listeners)
        self._ready = asyncio.Event()
        self._news = asyncio.Event()
        self._ready_frames: dict[tuple[EventFilter, int, int], bytes] = {}
        self._listeners = 0
        self._own_subscriptions: set[asyncio.Task[Any]] = set()
        """Tasks that wait for a subscription of their own, which no news wake."""
        self._asked = 0.0
        """When somebody last asked to listen: they count as a listener only when they begin to."""
        self._closing = False
        self._log = structlog.get_logger()

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return self._listeners

    async def listen(self, choice: EventFilter, since: int | None) -> AsyncIterator[bytes]:
        """Returns the frames of selected events after event `since`, until the hub closes.

        The first is ready at once. Raises Unavailable, NotOffered where there are no events, and Refused for a `since`
        that cannot be gone on from.
        """
        if self._absent is not None:
            raise self._absent()
        self._asked = self._loop.time()
        await self._start_following()
        if since is not None and not self._has_events_after(since):
            return await self._open_own_subscription(choice, since)
        return self._stream_shared(choice, self._position_after(since), since)

    def close(self) -> None:
        """Ends all streams."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
        for task in self._own_subscriptions:
            task.cancel()
        self._wake_listeners()

    # Following.

    async def _start_following(self) -> None:
        if self._task is None or self._task.done():
            self._ready.clear()
            self._task = self._loop.create_task(self._read_events(), name="events")
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable("the distributed service is away", hint="connect again later") from None

    async def _read_events(self) -> None:
        """Reads events until there have been no listeners for a while; resumes after an interruption."""
        loop = self._loop
        ticking: asyncio.TimerHandle | None = None
        while not self._closing:
            try:
                async with self._subscriber() as client:
                    async for event in client.subscribe_lines(TOPICS, since=self._seq):
                        self._take_line(event)
                        if ticking is None or ticking.when() <= loop.time():
                            ticking = loop.call_later(_TICK_SECONDS, self._wake_listeners)
            except Refused as refusal:
                # The log does not go back that far, or is another one than before.
                self._log.warning("event_stream_reset", reason=refusal.message)
                self._reset_stream()
            except ClientError as error:
                self._log.debug("event_stream_unavailable", reason=error.message)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _take_line(self, line: bytes) -> None:
        head = _decode(line)
        if head.event == "subscribed":
            if self._seq is None:
                self._seq = head.seq
            self._ready.set()
            return
        if head.seq:
            self._seq = head.seq
        self._keep_event(_KeptEvent(_topic_of(head), head, _encode_frame(line, head)))

    def _keep_event(self, kept: _KeptEvent) -> None:
        if len(self._kept) == self._kept.maxlen:
            self._first += 1
        self._kept.append(kept)

    def _reset_stream(self) -> None:
        self._seq = None
        self._keep_event(_KeptEvent("", _Head("gap"), _encode_frame(b'{"event":"gap"}', _Head("gap"))))
        self._wake_listeners()

    def _wake_listeners(self) -> None:
        """Wakes all listeners."""
        self._ready_frames.clear()
        self._news.set()
        self._news = asyncio.Event()
        # Idle listeners get a heartbeat now and then: one timer for all of them.
        self._silence.cancel()
        if not self._closing:
            self._silence = self._loop.call_later(_SILENCE_SECONDS, self._wake_listeners)

    # Listening.

    def _has_events_after(self, since: int) -> bool:
        if self._seq is not None and since >= self._seq:
            return since == self._seq
        return bool(self._kept) and 0 < self._kept[0].head.seq <= since + 1

    def _position_after(self, since: int | None) -> int:
        end = self._first + len(self._kept)
        if since is None:
            return end
        place = end
        for kept in reversed(self._kept):
            if 0 < kept.head.seq <= since:
                break
            place -= 1
        return place

    async def _stream_shared(self, choice: EventFilter, place: int, since: int | None) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            # Its number comes first: who is cut off before an event resumes here.
            yield _encode_beginning(self._seq if since is None else since)
            said = self._loop.time()
            while not self._closing:
                news = self._news
                if place < self._first:
                    yield _encode_gap(self._first - place)
                    place = self._first
                end = min(self._first + len(self._kept), place + self._write_events)
                behind = end < self._first + len(self._kept)
                frames, place = self._join_frames(choice, place, end), end
                if frames:
                    said = self._loop.time()
                    yield frames
                elif behind:
                    await asyncio.sleep(0)
                elif self._loop.time() - said >= _SILENCE_SECONDS:
                    said = self._loop.time()
                    yield _encode_heartbeat(self._seq)
                else:
                    await news.wait()
        finally:
            self._remove_listener()

    def _remove_listener(self) -> None:
        self._listeners -= 1
        if self._listeners == 0:
            self._loop.call_later(_LINGER_SECONDS, self._stop_if_unused)

    def _stop_if_unused(self) -> None:
        """Ends the subscription if there are still no listeners; the next listener starts a new one."""
        if self._listeners or self._task is None:
            return
        if (left := self._asked + _LINGER_SECONDS - self._loop.time()) > 0:
            self._loop.call_later(left, self._stop_if_unused)
        else:
            self._task.cancel()
            self._task = None
            self._seq = None
            self._first += len(self._kept)
            self._kept.clear()

    def _join_frames(self, choice: EventFilter, place: int, end: int) -> bytes:
        """Returns the selected frames from `place` to before `end`, cached: nearly all listeners select the same."""
        key = (choice, place, end)
        frames = self._ready_frames.get(key)
        if frames is None:
            last = self._first + len(self._kept)
            kept = islice(reversed(self._kept), last - end, last - place)
            frames = b"".join(reversed([one.frame for one in kept if _is_selected(choice, one.topic, one.head)]))
            self._ready_frames[key] = frames
        return frames

    async def _open_own_subscription(self, choice: EventFilter, since: int) -> AsyncIterator[bytes]:
        """Returns events that are older than the kept ones, from a subscription for this listener alone."""
        only_orders = choice.topics == {"orders"}
        lines = self._subscriber().subscribe_lines(
            sorted(choice.topics),
            customer=choice.customer if only_orders else None,
            order=choice.order if only_orders else None,
            since=since,
        )
        # It is refused here, or not at all.
        await anext(lines)
        return self._stream_own(lines, choice, since)

    async def _stream_own(self, lines: AsyncIterator[bytes], choice: EventFilter, since: int) -> AsyncIterator[bytes]:
        self._listeners += 1
        task = asyncio.current_task()
        assert task is not None
        self._own_subscriptions.add(task)
        try:
            yield _encode_beginning(since)
            async for line in lines:
                head = _decode(line)
                if _is_selected(choice, _topic_of(head), head):
                    yield _encode_frame(line, head)
        finally:
            self._own_subscriptions.discard(task)
            self._remove_listener()


def _topic_of(head: _Head) -> str:
    return _TOPICS.get(head.event.partition(".")[0], "")


def _is_selected(choice: EventFilter, topic: str, head: _Head) -> bool:
    """Whether a filter selects an event. Every listener gets gaps."""
    if head.event == "gap":
        return True
    if topic not in choice.topics:
        return False
    if topic == PURCHASES:
        return choice.order in (None, head.order)
    if topic == "orders":
        return choice.order in (None, head.order) and (
            choice.customer is None or (head.customer is not None and is_same_name(head.customer, choice.customer))
        )
    return topic not in PERSONAL or choice.user_id == head.user_id


def _encode_frame(line: bytes, head: _Head) -> bytes:
    """Returns an event in the format of server-sent events; browsers return its number as `Last-Event-ID`."""
    number = b"id: %d\n" % head.seq if head.seq else b""
    return b"%sevent: %s\ndata: %s\n\n" % (number, head.event.encode(), line.rstrip())


def _encode_beginning(number: int | None) -> bytes:
    """Returns the beginning of a stream after the event of this number, which has no event."""
    return b"retry: 1000\n\n" if number is None else b"retry: 1000\nid: %d\n\n" % number


def _encode_heartbeat(number: int | None) -> bytes:
    """Returns an event by which pages see that a silent stream is alive; they do not see comments."""
    if number is None:
        return b'event: heartbeat\ndata: {"event":"heartbeat"}\n\n'
    return b'id: %d\nevent: heartbeat\ndata: {"event":"heartbeat","seq":%d}\n\n' % (number, number)


def _encode_gap(missed: int) -> bytes:
    """Returns the event for a listener that was too slow."""
    return b'event: gap\ndata: {"event":"gap","missed":%d}\n\n' % missed
