"""Who observes events: told of new ones as they are committed, and first of those that they have missed.

Who begins at an older event reads the log at their own pace, until they are where the others are.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog

from services.distributed.events import Told
from services.distributed.log import EventLog, Kept, Logged
from shared.domain.errors import InvalidParams, StoreError
from shared.domain.names import is_same_name, recent_name_key
from shared.net.connection import Connection
from shared.net.fanout import Fanout
from shared.wire.replies import line

_DRAIN_SECONDS = 0.01
_TEXTS = 256


class Choice(NamedTuple):
    """What an observer wants to be told of: events that have all that is said."""

    topics: frozenset[str]
    events: frozenset[str] | None = None
    """Names of events; None is all of the topics."""
    customer: str | None = None
    order: str | None = None
    user_id: int | None = None

    @property
    def key(self) -> tuple[str, str | int] | None:
        """What finds the choice for an event; None for one that goes by topics alone."""
        for name in ("order", "customer", "user_id"):
            value: str | int | None = getattr(self, name)
            if value is not None:
                return name, recent_name_key(str(value)) if name == "customer" else value
        return None

    def wants(self, topic: str, event: str) -> bool:
        """Whether events of this name are chosen at all."""
        return topic in self.topics and (self.events is None or event in self.events)

    def fits(self, told: Told) -> bool:
        """Whether an event is chosen."""
        return (
            self.wants(told.topic, told.event)
            and self.order in (None, told.order)
            and self.user_id in (None, told.user_id)
            and (self.customer is None or (told.customer is not None and is_same_name(told.customer, self.customer)))
        )


class Observers:
    """Connections by what they have chosen; `unread_bytes` bounds what waits for each."""

    def __init__(self, log: EventLog, *, unread_bytes: int) -> None:
        self._log = log
        self._unread_bytes = unread_bytes
        # What is told at one time comes on top of what waits already.
        self._fanout = Fanout(unread_bytes // 2)
        self._live: dict[Choice, set[Connection]] = {}
        self._by_key: dict[tuple[str, str | int], list[Choice]] = {}
        self._kinds: Counter[Choice] = Counter()
        """How many of the live choices want the same names, as the choice of these alone."""
        self._choices: dict[Connection, Choice] = {}
        self._replays: dict[Connection, asyncio.Task[None]] = {}
        self._logger = structlog.get_logger()

    def check(self, since: int | None) -> int:
        """The number of the last event that an observer who begins there knows. Raises InvalidParams."""
        last = self._log.next - 1
        if since is not None and since > last:
            raise InvalidParams(
                "since lies in the future", field="since", hint=f"the last event is {last}; leave it out to begin there"
            )
        return last if since is None else since

    def add(self, connection: Connection, choice: Choice, since: int) -> None:
        """The connection is told of what it chose behind event `since`, and of nothing else."""
        self.remove(connection)
        connection.observing = True
        self._choices[connection] = choice
        if since + 1 == self._log.next:
            self._go_live(connection, choice)
        else:
            replay = self._replay_or_cut(connection, choice, since + 1)
            self._replays[connection] = asyncio.get_running_loop().create_task(replay, name="replay")

    def remove(self, connection: Connection) -> None:
        """The connection is told nothing any more."""
        connection.observing = False
        self._fanout.forget(connection)
        if (replay := self._replays.pop(connection, None)) is not None:
            replay.cancel()
        choice = self._choices.pop(connection, None)
        if choice is None or choice not in self._live:
            return
        self._live[choice].discard(connection)
        if not self._live[choice]:
            del self._live[choice]
            kind = Choice(choice.topics, choice.events)
            self._kinds[kind] -= 1
            if not self._kinds[kind]:
                del self._kinds[kind]
            if choice.key is not None:
                self._by_key[choice.key].remove(choice)
                if not self._by_key[choice.key]:
                    del self._by_key[choice.key]

    def _go_live(self, connection: Connection, choice: Choice) -> None:
        if choice not in self._live:
            self._live[choice] = set()
            self._kinds[Choice(choice.topics, choice.events)] += 1
            if choice.key is not None:
                self._by_key.setdefault(choice.key, []).append(choice)
        self._live[choice].add(connection)

    async def _replay_or_cut(self, connection: Connection, choice: Choice, number: int) -> None:
        try:
            await self._replay(connection, choice, number)
        except StoreError as error:
            # It connects again, and goes on where it was.
            self._logger.error("the event log cannot be read", reason=error.message)
            connection.abort()

    async def _replay(self, connection: Connection, choice: Choice, number: int) -> None:
        """Tells of events from `number` on, as fast as they are read, until there are no more."""
        while True:
            if number < self._log.oldest:
                gap = {"event": "gap", "from": number, "to": self._log.oldest - 1, "missed": self._log.oldest - number}
                connection.send(line(gap))
                number = self._log.oldest
            page = self._log.read(number)
            if not page:
                break
            for kept in page:
                if choice.wants(*kept.kind):
                    for texts in _portions(kept, number, choice):
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
        """Tells of new events. Nobody is waited for."""
        wanted = [one for one in entries if self._is_wanted(one.entry.topic, one.entry.event)]
        told = [one for logged in wanted for one in logged.entry.told(logged.number)]
        for start in range(0, len(told), _TEXTS):
            self._tell(told[start : start + _TEXTS])

    def _is_wanted(self, topic: str, event: str) -> bool:
        return any(kind.wants(topic, event) for kind in self._kinds)

    def _tell(self, told: Sequence[Told]) -> None:
        found: dict[Choice, list[str]] = {}
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
                        if choice.fits(one):
                            found.setdefault(choice, []).append(one.text)
        for choice, texts in found.items():
            if texts:
                text = "".join(texts).encode()
                for connection in self._live[choice]:
                    self._fanout.tell(connection, text, len(texts))

    def close(self) -> None:
        """Ends what is being read for observers."""
        for replay in self._replays.values():
            replay.cancel()


def _portions(kept: Kept, number: int, choice: Choice) -> Iterable[list[str]]:
    """The chosen texts of an entry from an event on, some at a time."""
    texts: list[str] = []
    for place, told in enumerate(kept.entry.told(kept.number), kept.number):
        if place >= number and choice.fits(told):
            texts.append(told.text)
            if len(texts) == _TEXTS:
                yield texts
                texts = []
    if texts:
        yield texts
