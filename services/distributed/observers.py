"""Observers: subscribed connections get the events that they missed first, then new ones as they are committed.

Who begins at an older event reads the log at their own pace, until they are where the others are.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog

from services.distributed.event_log import EventLog, Logged, StoredEntry
from services.distributed.events import EventLine
from shared.domain.errors import InvalidParams, StoreError
from shared.domain.names import is_same_name, recent_name_key
from shared.net.connection import Connection
from shared.net.fanout import Fanout
from shared.wire.replies import encode_line

_DRAIN_SECONDS = 0.01
_TEXTS = 256


class EventSelection(NamedTuple):
    """The events that an observer selects: those that match every member."""

    topics: frozenset[str]
    events: frozenset[str] | None = None
    """Names of events; None selects all of the topics."""
    customer: str | None = None
    order: str | None = None
    user_id: int | None = None

    @property
    def key(self) -> tuple[str, str | int] | None:
        """Key under which events find this selection; None if it selects by topic alone."""
        for name in ("order", "customer", "user_id"):
            value: str | int | None = getattr(self, name)
            if value is not None:
                return name, recent_name_key(str(value)) if name == "customer" else value
        return None

    def selects_name(self, topic: str, event: str) -> bool:
        """Whether events of this name are selected."""
        return topic in self.topics and (self.events is None or event in self.events)

    def selects_event(self, told: EventLine) -> bool:
        """Whether an event is selected."""
        return (
            self.selects_name(told.topic, told.event)
            and self.order in (None, told.order)
            and self.user_id in (None, told.user_id)
            and (self.customer is None or (told.customer is not None and is_same_name(told.customer, self.customer)))
        )


class EventObservers:
    """Connections by their selections; `unread_bytes` bounds the unread events of each."""

    def __init__(self, log: EventLog, *, unread_bytes: int) -> None:
        self._log = log
        self._unread_bytes = unread_bytes
        # What is told at one time comes on top of what waits already.
        self._fanout = Fanout(unread_bytes // 2)
        self._live: dict[EventSelection, set[Connection]] = {}
        self._by_key: dict[tuple[str, str | int], list[EventSelection]] = {}
        self._kinds: Counter[EventSelection] = Counter()
        """Number of live selections with the same names."""
        self._choices: dict[Connection, EventSelection] = {}
        self._replays: dict[Connection, asyncio.Task[None]] = {}
        self._logger = structlog.get_logger()

    def parse_since(self, since: int | None) -> int:
        """Returns the number of the last event that the observer has. Raises InvalidParams."""
        last = self._log.next - 1
        if since is not None and since > last:
            raise InvalidParams(
                "since lies in the future", field="since", hint=f"the last event is {last}; leave it out to begin there"
            )
        return last if since is None else since

    def add(self, connection: Connection, choice: EventSelection, since: int) -> None:
        """Subscribes a connection to a selection of events after `since`, in the place of an earlier one."""
        self.remove(connection)
        connection.observing = True
        self._choices[connection] = choice
        if since + 1 == self._log.next:
            self._go_live(connection, choice)
        else:
            replay = self._replay_or_cut(connection, choice, since + 1)
            self._replays[connection] = asyncio.get_running_loop().create_task(replay, name="replay")

    def remove(self, connection: Connection) -> None:
        """Ends the subscription of a connection."""
        connection.observing = False
        self._fanout.forget_connection(connection)
        if (replay := self._replays.pop(connection, None)) is not None:
            replay.cancel()
        choice = self._choices.pop(connection, None)
        if choice is None or choice not in self._live:
            return
        self._live[choice].discard(connection)
        if not self._live[choice]:
            del self._live[choice]
            kind = EventSelection(choice.topics, choice.events)
            self._kinds[kind] -= 1
            if not self._kinds[kind]:
                del self._kinds[kind]
            if choice.key is not None:
                self._by_key[choice.key].remove(choice)
                if not self._by_key[choice.key]:
                    del self._by_key[choice.key]

    def _go_live(self, connection: Connection, choice: EventSelection) -> None:
        if choice not in self._live:
            self._live[choice] = set()
            self._kinds[EventSelection(choice.topics, choice.events)] += 1
            if choice.key is not None:
                self._by_key.setdefault(choice.key, []).append(choice)
        self._live[choice].add(connection)

    async def _replay_or_cut(self, connection: Connection, choice: EventSelection, number: int) -> None:
        try:
            await self._start_replay(connection, choice, number)
        except StoreError as error:
            # It connects again, and goes on where it was.
            self._logger.error("event_log_unreadable", reason=error.message)
            connection.abort()

    async def _start_replay(self, connection: Connection, choice: EventSelection, number: int) -> None:
        """Sends logged events from `number` on, at the pace of the client, until the end of the log."""
        while True:
            if number < self._log.oldest:
                gap = {"event": "gap", "from": number, "to": self._log.oldest - 1, "missed": self._log.oldest - number}
                connection.send(encode_line(gap))
                number = self._log.oldest
            page = self._log.read_page(number)
            if not page:
                break
            for kept in page:
                if choice.selects_name(*kept.kind):
                    for texts in _split_entry(kept, number, choice):
                        connection.send("".join(texts).encode())
                        while connection.unread_bytes > self._unread_bytes // 4:
                            await asyncio.sleep(_DRAIN_SECONDS)
                        await asyncio.sleep(0)
                number = kept.number + kept.events
            # Others get their turn also where nothing was wanted.
            await asyncio.sleep(0)
        del self._replays[connection]
        self._go_live(connection, choice)

    def publish(self, entries: Sequence[Logged]) -> None:
        """Sends new events to all subscribers, without waiting for any."""
        wanted = [one for one in entries if self._is_wanted(one.entry.topic, one.entry.event)]
        told = [one for logged in wanted for one in logged.entry.event_lines(logged.number)]
        for start in range(0, len(told), _TEXTS):
            self._send_entries(told[start : start + _TEXTS])

    def _is_wanted(self, topic: str, event: str) -> bool:
        return any(kind.selects_name(topic, event) for kind in self._kinds)

    def _send_entries(self, told: Sequence[EventLine]) -> None:
        found: dict[EventSelection, list[str]] = {}
        for choice in self._live:
            if choice.key is None:
                topics, events = choice.topics, choice.events
                found[choice] = [
                    one.text for one in told if one.topic in topics and (events is None or one.event in events)
                ]
        if self._by_key:
            for one in told:
                customer = None if one.customer is None else recent_name_key(one.customer)
                for key in (("order", one.order), ("customer", customer), ("user_id", one.user_id)):
                    if key[1] is None:
                        continue
                    for choice in self._by_key.get((key[0], key[1]), ()):
                        if choice.selects_event(one):
                            found.setdefault(choice, []).append(one.text)
        for choice, texts in found.items():
            if texts:
                text = "".join(texts).encode()
                for connection in self._live[choice]:
                    self._fanout.send_events(connection, text, len(texts))

    def close(self) -> None:
        """Ends all replays."""
        for replay in self._replays.values():
            replay.cancel()


def _split_entry(kept: StoredEntry, number: int, choice: EventSelection) -> Iterable[list[str]]:
    """Yields the selected lines of an entry from an event on, in blocks."""
    texts: list[str] = []
    for place, told in enumerate(kept.entry.event_lines(kept.number), kept.number):
        if place >= number and choice.selects_event(told):
            texts.append(told.text)
            if len(texts) == _TEXTS:
                yield texts
                texts = []
    if texts:
        yield texts
