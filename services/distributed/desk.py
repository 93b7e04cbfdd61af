"""Where requests are answered: those of one turn of the event loop together, after the commit of what they write."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from services.distributed import requests
from services.distributed.encoding import Ways, decode_request, encode_answer
from services.distributed.events import EVENTS, TOPICS, PlainEvent
from services.distributed.help import help_lines
from services.distributed.knowledge import Knowledge
from services.distributed.observers import Choice, Observers
from services.distributed.requests import CATALOGUE, Request
from shared.domain.deadlines import is_late, too_late
from shared.domain.errors import ComandaError, InvalidParams, StoreError
from shared.net.connection import Connection
from shared.runtime.logs import log_fault
from shared.runtime.metrics import ServerMetrics
from shared.wire.framing import Document, Frame, Line
from shared.wire.ready import Ready, answer_frame, refusal
from shared.wire.replies import RequestIdValue, failure, line, success
from shared.wire.strict import did_you_mean, parse, shortened

# More than this waits for the next turn, so that the relay gets its own.
_TURN_REQUESTS = 64
_PAGE = 50
_EVERYBODYS = 10
"""How many notifications there are on a page of a user's, and on one of everybody's, unless it is said."""
_SMALL_PAGE = 100
_WRITES = (requests.AddNotification, requests.MarkRead)

Members = Mapping[str, Any]
Result = Members | ComandaError


class _Entry(NamedTuple):
    connection: Connection
    item: Request | Ready
    arrived: float
    """By the loop's clock."""
    pickled: bool = False
    """Whether it came in a pickle, and is answered in one."""


def _if_in_time(entry: _Entry, now: float) -> _Entry:
    """The entry, or one that is refused where nobody waits for it any more."""
    item = entry.item
    if isinstance(item, Ready) or not is_late(item.deadline_ms, now - entry.arrived):
        return entry
    return entry._replace(item=Ready(line(failure(too_late(), item.request_id))))


class Desk:
    """The service behind the distributed port."""

    def __init__(
        self,
        knowledge: Knowledge,
        observers: Observers,
        ways: Ways,
        metrics: ServerMetrics,
        *,
        version: str,
        relay: Callable[[], Members],
    ) -> None:
        self._ways = ways
        self._metrics = metrics
        self._knowledge = knowledge
        self._observers = observers
        self._version = version
        self._relay = relay
        self._started = time.monotonic()
        self._inbox: deque[_Entry] = deque()
        self._held: dict[Connection, deque[_Entry]] = {}
        self._holds: set[asyncio.Task[None]] = set()
        self._turn_is_due = False
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger()

    # What connections call.

    def greeting(self) -> bytes:
        """None: clients take the first bytes for an answer."""
        return b""

    def block(self, connection: Connection, block: bytes) -> int:
        """See `Service.block`. Nothing here comes in such numbers that it would pay."""
        return 0

    def frame(self, connection: Connection, frame: Frame) -> None:
        """See `Service.frame`."""
        self._inbox.append(self._understood(connection, frame))
        self._wake()

    def _understood(self, connection: Connection, frame: Frame) -> _Entry:
        """What one frame asks for; a wrong one is an answer that says so."""
        members: Any = None
        arrived = self._loop.time()
        try:
            match frame:
                case Document(data):
                    members = parse(data)
                    if isinstance(members, dict) and "encoding" in members:
                        return _Entry(connection, decode_request(members, self._ways.requests), arrived, pickled=True)
                    if not isinstance(members, dict) or "action" not in members:
                        raise InvalidParams(
                            "a request is an object with an action", hint="try: help", example={"action": "ping"}
                        )
                    return _Entry(connection, CATALOGUE.decode(data, members["action"]), arrived)
                case Line(text):
                    return _Entry(connection, CATALOGUE.verb(text), arrived)
                case _:
                    return _Entry(connection, answer_frame(frame), arrived)
        except ComandaError as error:
            return _Entry(connection, refusal(error, members), arrived)
        except Exception:
            return _Entry(connection, refusal(log_fault("request_read_failed"), members), arrived)

    def closed(self, connection: Connection) -> None:
        """See `Service.closed`."""
        self._observers.remove(connection)

    # The turn.

    def _wake(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _take(self) -> list[_Entry]:
        """What this turn is for: of each connection one large page, and none before the peer has read the last one."""
        entries: list[_Entry] = []
        while self._inbox and len(entries) < _TURN_REQUESTS:
            entry = self._inbox.popleft()
            connection = entry.connection
            if (held := self._held.get(connection)) is not None:
                held.append(entry)
            elif connection.congested:
                self._hold(connection, entry)
            else:
                entries.append(entry)
                if isinstance(entry.item, requests.GetNotifications) and (entry.item.limit or 0) > _SMALL_PAGE:
                    self._hold(connection)
        return entries

    def _hold(self, connection: Connection, *entries: _Entry) -> None:
        self._held[connection] = deque(entries)
        task = self._loop.create_task(self._release(connection), name="hold")
        self._holds.add(task)
        task.add_done_callback(self._holds.discard)

    async def _release(self, connection: Connection) -> None:
        await connection.wait_until_read()
        self._inbox.extendleft(reversed(self._held.pop(connection)))
        if self._inbox:
            self._wake()

    def _turn(self) -> None:
        self._turn_is_due = False
        entries = self._take()
        if self._inbox:
            self._wake()
        now = self._loop.time()
        entries = [_if_in_time(entry, now) for entry in entries]
        written, fault = self._write([entry.item for entry in entries if isinstance(entry.item, _WRITES)])
        for entry in entries:
            if isinstance(entry.item, Ready):
                entry.connection.answer(entry.item.answer)
                if entry.item.last:
                    entry.connection.finish()
            elif isinstance(entry.item, _WRITES):
                self._answer(entry, entry.item, next(written))
            elif entry.pickled and fault is not None:
                self._answer(entry, entry.item, fault)
            else:
                self._perform(entry, entry.item)

    def _answer(self, entry: _Entry, request: Request, result: Result) -> None:
        request_id = request.request_id
        action, outcome = str(request.__struct_config__.tag), "ok"
        if isinstance(result, ComandaError):
            outcome = result.code
        self._metrics.answered(action, outcome)
        if request.trace is not None:
            self._log.debug("answered", action=action, outcome=outcome, trace=request.trace)
        members = failure(result, request_id) if isinstance(result, ComandaError) else success(result, request_id)
        entry.connection.answer(self._encode_pickled(members, request_id) if entry.pickled else line(members))

    def _encode_pickled(self, members: dict[str, Any], request_id: RequestIdValue) -> bytes:
        try:
            return line(encode_answer(members, self._ways.answers))
        except InvalidParams as error:
            error.hint = "ask for less at a time: limit"
            return line(encode_answer(failure(error, request_id), self._ways.answers))

    # What writes.

    def _write(self, writes: list[Any]) -> tuple[Iterator[Result], ComandaError | None]:
        """Commits what requests write, and the nonces of those in pickles: the results, and why none was done."""
        nonces = self._knowledge.nonces
        if not writes and not nonces.unsaved:
            return iter(()), None
        results: list[Result] = []
        events: list[PlainEvent] = []
        try:
            with self._knowledge.transaction(len(writes)) as commit:
                for request in writes:
                    try:
                        results.append(self._written(request, events))
                    except ComandaError as error:
                        results.append(error)
                nonces.save()
                commit(events)
            nonces.saved()
        except StoreError as error:
            self._log.error("requests were refused by the store", requests=len(writes), reason=error.message)
            return iter([error] * len(writes)), error
        except Exception:
            fault = log_fault("requests_failed", requests=len(writes))
            return iter([fault] * len(writes)), fault
        return iter(results), None

    def _written(self, request: Request, events: list[PlainEvent]) -> Members:
        notifications = self._knowledge.notifications
        match request:
            case requests.AddNotification(user_id=user, message=message, type=kind):
                number, event = notifications.add(user, message, kind)
                events.append(event)
                return {"id": number, "message": "Notification added"}
            case requests.MarkRead(user_id=user, ids=ids):
                return {"marcadas": notifications.mark_read(user, ids)}
        raise AssertionError(f"{type(request).__name__} writes nothing")

    # What reads.

    def _perform(self, entry: _Entry, request: Request) -> None:
        try:
            if isinstance(request, requests.Subscribe):
                self._subscribe(entry, request)
                return
            if isinstance(request, requests.Quit):
                entry.connection.finish()
            result: Result = self._read(entry.connection, request)
        except ComandaError as error:
            result = error
        except Exception:
            result = log_fault("request_failed", request=type(request).__name__)
        self._answer(entry, request, result)

    def _read(self, connection: Connection, request: Request) -> Members:
        knowledge = self._knowledge
        match request:
            case requests.GetUserStats(user_id=user):
                return {"stats": knowledge.read(lambda: knowledge.ranking.user(user))}
            case requests.GetGlobalStats():
                return {
                    "stats": knowledge.read(
                        lambda: {**knowledge.ranking.everybody(), "pedidos": knowledge.orders.view()}
                    )
                }
            case requests.GetNotifications():
                return self._read_notifications(request)
            case requests.Unsubscribe():
                self._observers.remove(connection)
                return {"topics": []}
            case requests.Help():
                return {"help": help_lines()}
            case requests.Health():
                return self._health()
            case requests.Metrics():
                return {"metrics": self._metrics.exposition()}
            case requests.Quit():
                return {"bye": True}
        return {"pong": True}

    def _read_notifications(self, request: requests.GetNotifications) -> Members:
        user, everybody = request.user_id, request.user_id is None
        if everybody and request.unread:
            raise InvalidParams("unread is of one user's notifications", field="unread", hint="add a user_id")
        limit = request.limit or (_EVERYBODYS if everybody else _PAGE)
        order = request.order or ("oldest" if everybody else "newest")
        notifications = self._knowledge.notifications
        shown, following = self._knowledge.read(
            lambda: notifications.page(user, unread=request.unread, limit=limit, before=request.cursor)
        )
        unread = None if user is None else self._knowledge.read(lambda: notifications.unread(user))
        if order == "oldest":
            shown.reverse()
        return {"notifications": shown, "no_leidas": unread, "cursor": following}

    def _subscribe(self, entry: _Entry, request: requests.Subscribe) -> None:
        """The answer goes out before the first event."""
        topics = request.topics if isinstance(request.topics, list) else request.topics.replace(",", " ").split()
        if not topics:
            raise InvalidParams("topics is empty", field="topics", hint=f"topics: {', '.join(TOPICS)}")
        for topic in topics:
            if topic not in TOPICS:
                hint = did_you_mean(shortened(topic), TOPICS) or f"topics: {', '.join(TOPICS)}"
                raise InvalidParams(f"there is no topic {shortened(topic)!r}", field="topics", hint=hint)
        events = None if request.events is None else frozenset(request.events)
        if events is not None:
            _check_events(events, topics)
        since = self._observers.check(request.since)
        order = None if request.id is None else request.id.lower()
        choice = Choice(frozenset(topics), events, request.cliente, order, request.user_id)
        self._answer(entry, request, {"topics": sorted(choice.topics), "since": since})
        self._observers.add(entry.connection, choice, since)

    def _health(self) -> Members:
        relay = self._relay()
        trouble = relay.get("trouble")
        return {
            "status": "ok" if trouble is None else "degraded",
            "relay": relay,
            "eventos": self._knowledge.log.next - 1,
            "version": self._version,
            "uptime_s": round(time.monotonic() - self._started, 1),
        }


def _check_events(events: frozenset[str], topics: Sequence[str]) -> None:
    """Raises InvalidParams for names that no event of the topics has."""
    known = [event for topic in dict.fromkeys(topics) for event in EVENTS[topic]]
    if not events:
        raise InvalidParams("events is empty", field="events", hint="leave it out for all events of the topics")
    for event in sorted(events.difference(known)):
        topic = next((name for name, names in EVENTS.items() if event in names), None)
        if topic is not None:
            raise InvalidParams(f"{event} is an event of {topic}", field="events", hint=f"add {topic} to topics")
        hint = did_you_mean(shortened(event), known) or f"events: {', '.join(known)}"
        raise InvalidParams(f"there is no event {shortened(event)!r}", field="events", hint=hint)
