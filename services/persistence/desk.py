"""Where requests become writes: one commit for everything that arrived in a turn of the event loop.

Connections hand in requests as they read them. Once a turn, the desk takes what has gathered, writes all of
it in one call of the store, with the entries of the audit log, reads what was asked for, and then answers
each connection in the order of its requests. Pages are read on the side, and their connections' later
requests wait.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

import structlog

from services.persistence import dialect, inbox, requests
from services.persistence.audit import Audit
from services.persistence.help import help_lines
from services.persistence.inbox import Asked, Item
from services.persistence.observers import Observer, Observers
from services.persistence.operations import Members, Operations, Outcome, Step
from services.persistence.pages import KINDS, Pages
from shared.domain.deadlines import is_late, too_late
from shared.domain.errors import ComandaError, StoreError
from shared.domain.records import Record, Transaction
from shared.net.connection import Connection
from shared.runtime.logs import log_fault
from shared.runtime.metrics import ServerMetrics
from shared.stores.ports.records import PAGE_BYTES, Ask, RecordStore
from shared.wire.framing import Frame
from shared.wire.ready import Ready
from shared.wire.replies import failure, line, success

# More than this waits for the next turn, so that a turn stays short and other connections get theirs.
_TURN_REQUESTS = 512
_SMALL_PAGE = 8
_ASIDE = (*KINDS, requests.Watch)
_AT_ONCE = (requests.Ping, requests.Help, requests.Health, requests.Metrics, requests.Unwatch, requests.Quit)
_READS = (requests.Get, requests.GetItem, requests.GetItems)

_Entry = tuple[Connection, Item, float]
"""What came in, and when by the loop's clock."""
_Found = list[Record | StoreError | None]
"""Records in the order in which they were asked for, or why they were not read."""


class _Part(NamedTuple):
    """A request with its step, or with what it is answered already."""

    connection: Connection
    item: Item
    step: Step | ComandaError | None


class Desk:
    """The service behind the persistence port."""

    def __init__(
        self,
        store: RecordStore,
        audit: Audit,
        operations: Operations,
        pages: Pages,
        observers: Observers,
        metrics: ServerMetrics,
        *,
        version: str,
        depth: int,
    ) -> None:
        self._depth = depth
        self._store = store
        self._audit = audit
        self._operations = operations
        self._pages = pages
        self._observers = observers
        self._metrics = metrics
        self._version = version
        self._started = time.monotonic()
        self._trouble: str | None = None
        self._audit_is_known = True
        self._sessions: dict[Connection, str] = {}
        self._inbox: deque[_Entry] = deque()
        self._held: dict[Connection, deque[_Entry]] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger()

    # What connections call.

    def greeting(self) -> bytes:
        """None: older programs take the first bytes for an answer."""
        return b""

    def block(self, connection: Connection, block: bytes) -> int:
        """See `Service.block`."""
        items = inbox.block(block, self._depth)
        if items is None:
            return 0
        arrived = self._loop.time()
        self._inbox.extend([(connection, item, arrived) for item in items])
        self._woken.set()
        return len(items)

    def frame(self, connection: Connection, frame: Frame) -> None:
        """See `Service.frame`."""
        self._inbox.append((connection, inbox.frame(frame), self._loop.time()))
        self._woken.set()

    def closed(self, connection: Connection) -> None:
        """See `Service.closed`."""
        self._observers.remove(connection)
        self._sessions.pop(connection, None)

    # The turn.

    async def run(self) -> None:
        """Takes turns until `close`."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            entries = self._take()
            if entries:
                await self._turn(entries)
            elif self._closed:
                return
            if self._inbox or self._closed:
                self._woken.set()

    async def close(self) -> None:
        """Ends `run` once everything that came in is answered."""
        await asyncio.gather(*self._asides, return_exceptions=True)
        self._closed = True
        self._woken.set()

    def _take(self) -> list[_Entry]:
        """What this turn is for: of each connection nothing that would write behind a read."""
        entries: list[_Entry] = []
        later: list[_Entry] = []
        readers: set[Connection] = set()
        waiting: set[Connection] = set()
        while self._inbox and len(entries) < _TURN_REQUESTS:
            entry = self._inbox.popleft()
            connection, item, _ = entry
            if self._held and (held := self._held.get(connection)) is not None:
                held.append(entry)
                continue
            if connection.congested:
                self._held[connection] = deque([entry])
                self._start_aside(self._hold(connection))
                continue
            request = item.request if isinstance(item, Asked) else None
            reads = isinstance(request, _READS)
            if connection in waiting or (connection in readers and not reads):
                waiting.add(connection)
                later.append(entry)
                continue
            if isinstance(request, requests.GetItems) and len(request.keys) > _SMALL_PAGE:
                # A page: the next one when the peer has read it.
                waiting.add(connection)
            if reads:
                readers.add(connection)
            elif isinstance(request, _ASIDE):
                # Its later requests wait until this one is answered.
                self._held[connection] = deque()
            entries.append(entry)
        self._inbox.extendleft(reversed(later))
        return entries

    async def _turn(self, entries: list[_Entry]) -> None:
        self._operations.begin_turn()
        now = self._loop.time()
        parts = [
            _Part(connection, item, await self._plan(connection, item, now - arrived))
            for connection, item, arrived in entries
        ]
        steps = [part.step for part in parts if isinstance(part.step, Step)]
        outcomes = await self._write([one for step in steps for one in step.transactions])
        if outcomes and isinstance(outcomes[0], StoreError) and all(one is outcomes[0] for one in outcomes):
            # It would only be waited for once more.
            refusal: _Found = [outcomes[0]]
            found = iter([refusal * len(step.asks) for step in steps])
        else:
            found = iter(await self._read(steps))
        written = 0
        for connection, item, step in parts:
            if isinstance(item, Ready):
                connection.answer(item.answer)
                if item.last:
                    connection.finish()
            elif step is None:
                self._at_once(connection, item)
            elif isinstance(step, ComandaError):
                self._answer(connection, item, step)
            else:
                to_write = written + len(step.transactions)
                own, written = outcomes[written:to_write], to_write
                self._finish(connection, item, step, own, next(found))

    async def _plan(self, connection: Connection, item: Item, waited: float) -> Step | ComandaError | None:
        if isinstance(item, Ready) or isinstance(item.request, _AT_ONCE):
            return None
        if is_late(item.request.deadline_ms, waited):
            return too_late()
        try:
            if not self._audit_is_known:
                await self._audit.load()
                self._audit_is_known = True
            return self._operations.plan(item.request, self._session(connection))
        except ComandaError as error:
            return error
        except Exception:
            return log_fault("request_failed", request=type(item.request).__name__)

    def _session(self, connection: Connection) -> str:
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = uuid4().hex
        return session

    async def _write(self, transactions: list[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        end = self._audit.end()
        try:
            outcomes = await self._store.write(transactions if end is None else [*transactions, end])
        except StoreError as error:
            self._log.error("requests were refused by the store", requests=len(transactions), reason=error.message)
            self._trouble = error.message
            self._audit_is_known = False
            return [error] * len(transactions)
        lost = next((outcome for outcome in outcomes if isinstance(outcome, StoreError)), None)
        self._trouble = None if lost is None else lost.message
        self._audit_is_known = lost is None
        self._observers.wake()
        return outcomes

    async def _read(self, steps: list[Step]) -> list[_Found]:
        """Returns what each step asked for; all at once but for pages, which end when they are large."""
        asks = [ask for step in steps if not step.is_page for ask in step.asks]
        found = iter(await self._get(asks))
        return [
            await self._get(step.asks, room=PAGE_BYTES) if step.is_page else list(islice(found, len(step.asks)))
            for step in steps
        ]

    async def _get(self, asks: Sequence[Ask], *, room: int | None = None) -> _Found:
        if not asks:
            return []
        try:
            return list(await self._store.get(asks, room=room))
        except StoreError as error:
            self._trouble = error.message
            return [error] * len(asks)

    def _finish(
        self,
        connection: Connection,
        asked: Asked,
        step: Step,
        outcomes: list[Outcome],
        found: _Found,
    ) -> None:
        aside = isinstance(asked.request, _ASIDE)
        try:
            for outcome in outcomes:
                # An operation that could not be recorded is not carried out.
                if isinstance(outcome, StoreError):
                    raise outcome
            records: list[Record | None] = []
            for record in found:
                if isinstance(record, StoreError):
                    raise record
                records.append(record)
            result: Mapping[str, Any] | ComandaError = step.answer(outcomes, records)
        except ComandaError as error:
            result = error
        except Exception:
            result = log_fault("request_failed", request=type(asked.request).__name__)
        if not aside:
            self._answer(connection, asked, result)
        elif isinstance(result, ComandaError):
            self._answer(connection, asked, result)
            self._release(connection)
        else:
            self._start_aside(self._aside(connection, asked))

    def _answer(self, connection: Connection, asked: Asked, result: Members | ComandaError) -> None:
        request_id = asked.request.request_id
        action, outcome = str(asked.request.__struct_config__.tag), "ok"
        if isinstance(result, ComandaError):
            outcome = result.code
        self._metrics.answered(action, outcome)
        if asked.request.trace is not None:
            self._log.debug("answered", action=action, outcome=outcome, trace=asked.request.trace)
        members = failure(result, request_id) if isinstance(result, ComandaError) else success(result, request_id)
        connection.answer(dialect.answer(members) if asked.dialect else line(members))

    # What a turn does not do.

    def _at_once(self, connection: Connection, asked: Asked) -> None:
        match asked.request:
            case requests.Help():
                self._answer(connection, asked, {"help": help_lines()})
            case requests.Health():
                self._answer(connection, asked, self._health())
            case requests.Metrics():
                self._answer(connection, asked, {"metrics": self._metrics.exposition()})
            case requests.Unwatch():
                self._observers.remove(connection)
                self._answer(connection, asked, {"watching": None})
            case requests.Quit():
                connection.finish()
                self._answer(connection, asked, {"bye": True})
            case _:
                self._answer(connection, asked, {"pong": True})

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok" if self._trouble is None else "degraded",
            "store": self._trouble or "ok",
            "version": self._version,
            "uptime_s": round(time.monotonic() - self._started, 1),
        }

    def _start_aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name="aside")
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _hold(self, connection: Connection) -> None:
        """Keeps the requests of a connection back until the peer has read what it has asked for."""
        await connection.wait_until_read()
        self._release(connection)

    async def _aside(self, connection: Connection, asked: Asked) -> None:
        result: Members | ComandaError
        try:
            match asked.request:
                case requests.Watch(id=record, since=since):
                    position = await self._observers.add(connection, Observer(record, asked.dialect), since)
                    result = {"watching": record or "all", "position": position}
                case request:
                    result = await self._pages.perform(request)
        except ComandaError as error:
            result = error
        except Exception:
            result = log_fault("request_failed", request=type(asked.request).__name__)
        self._answer(connection, asked, result)
        self._release(connection)

    def _release(self, connection: Connection) -> None:
        """The connection's later requests may go on."""
        self._inbox.extendleft(reversed(self._held.pop(connection)))
        self._woken.set()
