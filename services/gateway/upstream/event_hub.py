"""Events for any number of listeners, from one subscription: the newest are kept, and each listener has its place.

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

TOPICS = ("orders", "scores", "notifications", "stock")
"""What the gateway tells of."""
PERSONAL = frozenset({"scores", "notifications"})
"""Topics of which everybody is told what is their own."""

_KEPT = 20_000
# What is written at a time waits in memory until it is read, for each listener.
_AT_ONCE = 500
# Listeners are woken together, so that each gets several events with one write.
_TICK_SECONDS = 0.02
_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 2.0
_LINGER_SECONDS = 10.0
# Something is said at least so often: whatever is in between would take silence for the end.
_SILENCE_SECONDS = 15.0
_STILL_HERE = b":\n\n"
_BEGIN = b"retry: 1000\n\n"


class _Head(Struct, rename={"customer": "cliente", "order": "id"}):
    """What of an event decides who is told."""

    event: str
    seq: int = 0
    customer: str | None = None
    order: str | int | None = None
    user_id: int | None = None


class Choice(NamedTuple):
    """Which events somebody wants; None is all. Personal topics are `user_id`'s alone."""

    topics: frozenset[str]
    customer: str | None = None
    order: str | None = None
    user_id: int | None = None


class _Kept(NamedTuple):
    topic: str
    head: _Head
    frame: bytes


_decode = msgspec.json.Decoder(_Head).decode
_TOPIC_OF = {"order": "orders", "score": "scores", "notification": "notifications", "stock": "stock"}


class EventHub:
    """Follows the distributed service while anybody listens, with a subscription of `subscriber`."""

    def __init__(
        self, subscriber: Callable[[], DistributedClient], *, absent: Callable[[], NotOffered] | None = None
    ) -> None:
        self._subscriber = subscriber
        self._absent = absent
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)
        self._first = 0
        """The place of the oldest that is kept; places count up without end."""
        self._seq: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._silence = self._loop.call_later(_SILENCE_SECONDS, self._tell)
        self._ready = asyncio.Event()
        self._news = asyncio.Event()
        self._ready_frames: dict[tuple[Choice, int, int], bytes] = {}
        self._listeners = 0
        self._reading_alone: set[asyncio.Task[Any]] = set()
        """Tasks that wait for a subscription of their own, which no news wake."""
        self._asked = 0.0
        """When somebody last asked to listen: they count as a listener only when they begin to."""
        self._closing = False
        self._log = structlog.get_logger()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    async def listen(self, choice: Choice, since: int | None) -> AsyncIterator[bytes]:
        """Frames of the events chosen, from behind event `since`, until the hub closes.

        The first is ready at once. Raises Unavailable, NotOffered where there are no events, and Refused for a `since`
        that cannot be gone on from.
        """
        if self._absent is not None:
            raise self._absent()
        self._asked = self._loop.time()
        await self._follow()
        if since is not None and not self._remembers(since):
            return await self._alone(choice, since)
        return self._shared(choice, self._place_behind(since))

    def close(self) -> None:
        """Ends every listener's stream."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
        for task in self._reading_alone:
            task.cancel()
        self._tell()

    # Following.

    async def _follow(self) -> None:
        if self._task is None or self._task.done():
            self._ready.clear()
            self._task = self._loop.create_task(self._run(), name="events")
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable("the distributed service is away", hint="connect again later") from None

    async def _run(self) -> None:
        """Reads events until nobody has listened for a while; after a break goes on where it was."""
        loop = self._loop
        ticking: asyncio.TimerHandle | None = None
        while not self._closing:
            try:
                async with self._subscriber() as client:
                    async for event in client.lines(TOPICS, since=self._seq):
                        self._take(event)
                        if ticking is None or ticking.when() <= loop.time():
                            ticking = loop.call_later(_TICK_SECONDS, self._tell)
            except Refused as refusal:
                # The log does not go back that far, or is another one than before.
                self._log.warning("events cannot be gone on with; starting anew", reason=refusal.message)
                self._start_anew()
            except ClientError as error:
                self._log.debug("events are away", reason=error.message)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _take(self, line: bytes) -> None:
        head = _decode(line)
        if head.event == "subscribed":
            if self._seq is None:
                self._seq = head.seq
            self._ready.set()
            return
        if head.seq:
            self._seq = head.seq
        self._keep(_Kept(_topic(head), head, _frame(line, head)))

    def _keep(self, kept: _Kept) -> None:
        if len(self._kept) == _KEPT:
            self._first += 1
        self._kept.append(kept)

    def _start_anew(self) -> None:
        self._seq = None
        self._keep(_Kept("", _Head("gap"), _frame(b'{"event":"gap"}', _Head("gap"))))
        self._tell()

    def _tell(self) -> None:
        """Wakes everybody who waits."""
        self._ready_frames.clear()
        self._news.set()
        self._news = asyncio.Event()
        # Who has heard nothing for a while is told that somebody is here: one timer for all of them.
        self._silence.cancel()
        if not self._closing:
            self._silence = self._loop.call_later(_SILENCE_SECONDS, self._tell)

    # Listening.

    def _remembers(self, since: int) -> bool:
        if self._seq is not None and since >= self._seq:
            return since == self._seq
        return bool(self._kept) and 0 < self._kept[0].head.seq <= since + 1

    def _place_behind(self, since: int | None) -> int:
        end = self._first + len(self._kept)
        if since is None:
            return end
        place = end
        for kept in reversed(self._kept):
            if 0 < kept.head.seq <= since:
                break
            place -= 1
        return place

    async def _shared(self, choice: Choice, place: int) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            yield _BEGIN
            said = self._loop.time()
            while not self._closing:
                news = self._news
                if place < self._first:
                    yield _gap(self._first - place)
                    place = self._first
                end = min(self._first + len(self._kept), place + _AT_ONCE)
                behind = end < self._first + len(self._kept)
                frames, place = self._frames(choice, place, end), end
                if frames:
                    said = self._loop.time()
                    yield frames
                elif behind:
                    await asyncio.sleep(0)
                elif self._loop.time() - said >= _SILENCE_SECONDS:
                    said = self._loop.time()
                    yield _STILL_HERE
                else:
                    await news.wait()
        finally:
            self._left()

    def _left(self) -> None:
        self._listeners -= 1
        if self._listeners == 0:
            self._loop.call_later(_LINGER_SECONDS, self._rest_if_alone)

    def _rest_if_alone(self) -> None:
        """Follows no longer when nobody has come back: the next one begins anew."""
        if self._listeners or self._task is None:
            return
        if (left := self._asked + _LINGER_SECONDS - self._loop.time()) > 0:
            self._loop.call_later(left, self._rest_if_alone)
        else:
            self._task.cancel()
            self._task = None
            self._seq = None
            self._first += len(self._kept)
            self._kept.clear()

    def _frames(self, choice: Choice, place: int, end: int) -> bytes:
        """Those of the events in places from `place` to before `end` that are chosen; nearly all ask for the same."""
        key = (choice, place, end)
        frames = self._ready_frames.get(key)
        if frames is None:
            last = self._first + len(self._kept)
            kept = islice(reversed(self._kept), last - end, last - place)
            frames = b"".join(reversed([one.frame for one in kept if _is_chosen(choice, one.topic, one.head)]))
            self._ready_frames[key] = frames
        return frames

    async def _alone(self, choice: Choice, since: int) -> AsyncIterator[bytes]:
        """Events from further back than what is kept here: a subscription of the listener's own."""
        only_orders = choice.topics == {"orders"}
        lines = self._subscriber().lines(
            sorted(choice.topics),
            customer=choice.customer if only_orders else None,
            order=choice.order if only_orders else None,
            since=since,
        )
        # It is refused here, or not at all.
        await anext(lines)
        return self._rest(lines, choice)

    async def _rest(self, lines: AsyncIterator[bytes], choice: Choice) -> AsyncIterator[bytes]:
        self._listeners += 1
        task = asyncio.current_task()
        assert task is not None
        self._reading_alone.add(task)
        try:
            yield _BEGIN
            async for line in lines:
                head = _decode(line)
                if _is_chosen(choice, _topic(head), head):
                    yield _frame(line, head)
        finally:
            self._reading_alone.discard(task)
            self._left()


def _topic(head: _Head) -> str:
    return _TOPIC_OF.get(head.event.partition(".")[0], "")


def _is_chosen(choice: Choice, topic: str, head: _Head) -> bool:
    """Whether an event is among those that somebody wants. A gap is for everybody."""
    if head.event == "gap":
        return True
    if topic not in choice.topics:
        return False
    if topic == "orders":
        return choice.order in (None, head.order) and (
            choice.customer is None or (head.customer is not None and is_same_name(head.customer, choice.customer))
        )
    return topic not in PERSONAL or choice.user_id == head.user_id


def _frame(line: bytes, head: _Head) -> bytes:
    """An event as server-sent events write it; its number is what `Last-Event-ID` brings back."""
    number = b"id: %d\n" % head.seq if head.seq else b""
    return b"%sevent: %s\ndata: %s\n\n" % (number, head.event.encode(), line.rstrip())


def _gap(missed: int) -> bytes:
    """What a listener is told who could not keep up."""
    return b'event: gap\ndata: {"event":"gap","missed":%d}\n\n' % missed
