"""The request dispatcher: gathers what arrived in one turn of the event loop, and answers it in order.

Connections hand in requests as they read them. Once a turn the dispatcher takes what has gathered and gives it to the
server's batch, which does all of it together: group commit. Then it answers each connection in the order of its
requests. What an action does aside may take long; its connection's later requests wait, so that answers keep their
order, and other connections do not notice.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import structlog
from msgspec import Struct

from shared.domain.deadlines import is_late, too_late
from shared.domain.errors import ComandaError
from shared.net.connection import Connection
from shared.runtime.logs import log_internal_error
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import Followed, ParsedRequest, Reply
from shared.server.parser import Item, RequestParser
from shared.stores.audit_log import AuditLog
from shared.wire.framing import Frame
from shared.wire.immediate_replies import ImmediateReply
from shared.wire.replies import encode_line, error_reply, success_reply

# After so many requests in a row a task that answers aside lets the event loop have a turn.
_STRETCH = 64
# Answers to one connection that are sent with one write. A large one is sent at once, as its peer can begin to read it.
_ANSWERS_AT_ONCE = 64
_LARGE_ANSWER = 65_536


class RefusedRequest(Struct, frozen=True):
    """A request that is not carried out."""

    parsed: ParsedRequest
    error: ComandaError


class Postponed(Struct, frozen=True):
    """The result of a request that has no room in its turn: in the next one, `parsed` takes its place."""

    parsed: ParsedRequest


Entry = tuple[Connection, Item | RefusedRequest, float]
"""An item, where it came from, and when it arrived by the loop's clock."""
Answers = tuple[bytes, int]
"""Answers that are encoded already, and their number."""
Result = Reply | ComandaError | Answers | Postponed | None
"""What the batch has made of an item: a reply, an error, answers to an item of the server's own, or nothing.

A batch may postpone a request that reads; then the dispatcher does that with everything behind it on its connection.
"""

S = TypeVar("S")


class TurnBatch(Protocol):
    """Processes the entries of a turn together."""

    async def carry_out(self, entries: Sequence[Entry], now: float) -> Iterable[Result]:
        """Returns a result for each entry; None where it has no part in it. `now` is the time by the loop's clock."""

    def end_turn(self) -> None:
        """Does what has time until the answers of the turn are sent."""

    def forget(self, connection: Connection) -> None:
        """Drops what is kept about a connection that is gone."""


def run_handler(parsed: ParsedRequest, *arguments: Any) -> Reply | ComandaError:
    """Returns what the handler of a request gives for these arguments, or the error to answer."""
    try:
        reply: Reply = parsed.action.handler(*arguments)
    except ComandaError as error:
        return error
    except Exception:
        return log_internal_error("request_failed", action=parsed.action.name, trace=parsed.request.trace)
    return reply


class Dispatcher(Generic[S]):
    """The service behind a port (`shared.net.connection.Service`)."""

    def __init__(
        self,
        server: S,
        parser: RequestParser,
        batch: TurnBatch,
        metrics: ServerMetrics,
        *,
        turn_weight: int,
        greeting: bytes = b"",
        audit: AuditLog | None = None,
    ) -> None:
        self._server = server
        self._parse_frame = parser.parse_frame
        self._parse_block = parser.parse_block
        self._batch = batch
        self._metrics = metrics
        # More than this waits for the next turn, so that a turn stays short and others get theirs.
        self._turn_weight = turn_weight
        self._greeting = greeting
        self._audit = audit
        self._inbox: deque[Entry] = deque()
        self._held: dict[Connection, deque[Entry]] = {}
        self._gone: set[Connection] = set()
        """Connections that are gone and have requests in flight, which may still begin something for them."""
        self._asides: set[asyncio.Task[None]] = set()
        self._wakeup: asyncio.Future[None] | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        # Bound once: the lazy logger is bound anew for each entry, which takes longer than finding that it is left out.
        self._log = structlog.get_logger().bind()

    # What connections call.

    def greeting(self) -> bytes:
        """See `Service.greeting`."""
        return self._greeting

    def block(self, connection: Connection, block: bytes) -> int:
        """See `Service.block`."""
        parsed = self._parse_block(block)
        if parsed is None:
            return 0
        arrived = self._loop.time()
        if self._wakeup is not None:
            self._wake()
        if type(parsed) is list:
            self._inbox.extend([(connection, item, arrived) for item in parsed])
            return len(parsed)
        self._inbox.append((connection, parsed, arrived))  # type: ignore[arg-type]
        return parsed.weight  # type: ignore[union-attr]

    def frame(self, connection: Connection, frame: Frame) -> None:
        """See `Service.frame`."""
        item = self._parse_frame(frame)
        if (
            type(item) is ParsedRequest
            and item.action.is_immediate
            and connection.in_flight == 1
            and item.encode is encode_line
            and not connection.congested
        ):
            # Nothing is owed to this connection before it: there is no turn to wait for.
            self._perform(connection, item)
            return
        self._inbox.append((connection, item, self._loop.time()))
        self._wake()

    def closed(self, connection: Connection) -> None:
        """See `Service.closed`."""
        self._batch.forget(connection)
        if connection.in_flight:
            self._gone.add(connection)

    # Turns.

    async def run(self) -> None:
        """Takes turns until `close`."""
        while True:
            if not self._inbox:
                if self._closed:
                    return
                self._wakeup = self._loop.create_future()
                await self._wakeup
            now = self._loop.time()
            if entries := self._take(now):
                await self._take_turn(entries, now)
            if self._inbox:
                # Others get their turn of the event loop.
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Ends `run` once everything that came in is answered."""
        await asyncio.gather(*self._asides, return_exceptions=True)
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)

    def _take(self, now: float) -> list[Entry]:
        """Returns the entries of this turn.

        Of one connection these are no write behind a read, since the batch writes first; no request behind one that
        is answered aside; one large page; and nothing as long as its peer has too much to read already.
        """
        entries: list[Entry] = []
        later: list[Entry] = []
        reading: set[Connection] = set()
        waiting: set[Connection] = set()
        weight = 0
        inbox, held = self._inbox, self._held
        while inbox and weight < self._turn_weight:
            entry = inbox.popleft()
            connection, item, arrived = entry
            if held and (queue := held.get(connection)) is not None:
                queue.append(entry)
                continue
            if waiting and connection in waiting:
                later.append(entry)
                continue
            kind = type(item)
            if kind is not ParsedRequest:
                weight += 1 if kind is ImmediateReply else item.weight  # type: ignore[union-attr]
                entries.append(entry)
                continue
            if connection.congested:
                held[connection] = deque([entry])
                self._start(self._hold(connection))
                continue
            action, request = item.action, item.request  # type: ignore[union-attr]
            weight += 1 if action.weigh is None else action.weigh(request)
            if request.deadline_ms is not None and is_late(request.deadline_ms, now - arrived):
                entries.append((connection, RefusedRequest(item, too_late()), arrived))  # type: ignore[arg-type]
                continue
            if not action.is_immediate:
                if action.reads:
                    reading.add(connection)
                elif reading and connection in reading:
                    waiting.add(connection)
                    later.append(entry)
                    continue
                if action.is_aside:
                    held[connection] = deque()
                elif action.is_page is not None and action.is_page(request):
                    waiting.add(connection)
            entries.append(entry)
        inbox.extendleft(reversed(later))
        return entries

    async def _take_turn(self, entries: list[Entry], now: float) -> None:
        results = await self._batch.carry_out(entries, now)
        postponed: list[Entry] = []
        waiting: set[Connection] = set()
        # A write for each answer would cost more than most answers.
        unsent: dict[Connection, list[bytes]] = {}
        for (connection, item, arrived), result in zip(entries, results, strict=True):
            if type(result) is Postponed:
                item = result.parsed  # noqa: PLW2901
                waiting.add(connection)
            if waiting and connection in waiting:
                postponed.append((connection, item, arrived))
            elif type(item) is ParsedRequest and not (item.action.is_immediate or item.action.is_aside):
                self._answer_later(connection, item, result, unsent)
            else:
                _send_answers(connection, unsent)
                self._take_result(connection, item, result)
        for connection in list(unsent):
            _send_answers(connection, unsent)
        if postponed:
            self._put_back(postponed)
        self._batch.end_turn()
        if self._gone:
            self._forget_gone()

    def _put_back(self, postponed: Sequence[Entry]) -> None:
        """Returns entries to the front of the inbox, with the requests behind those that were to be answered aside."""
        for connection, item, _ in postponed:
            if isinstance(item, ParsedRequest) and item.action.is_aside:
                self._inbox.extendleft(reversed(self._held.pop(connection)))
        self._inbox.extendleft(reversed(postponed))

    def _take_result(self, connection: Connection, item: Item | RefusedRequest, result: Any) -> None:
        """Answers an item that is no request of the batch."""
        if type(result) is tuple:
            connection.answer(result[0], result[1])
        elif isinstance(item, ParsedRequest):
            self._finish(connection, item, result)
        elif isinstance(item, ImmediateReply):
            connection.answer(item.answer)
            if item.last:
                connection.finish()
        elif isinstance(item, RefusedRequest):
            self._answer(connection, item.parsed, item.error)

    def _answer_later(
        self, connection: Connection, parsed: ParsedRequest, result: Any, unsent: dict[Connection, list[bytes]]
    ) -> None:
        """Adds the answer to a request to the unsent ones of its connection, and sends them if they are enough."""
        answer, then = self._prepare_answer(connection, parsed, result)
        waiting = unsent.setdefault(connection, [])
        waiting.append(answer)
        if then is not None or len(answer) > _LARGE_ANSWER or len(waiting) >= _ANSWERS_AT_ONCE:
            _send_answers(connection, unsent)
            if then is not None:
                then()

    def _forget_gone(self) -> None:
        for connection in [one for one in self._gone if not one.in_flight]:
            self._gone.remove(connection)
            self._batch.forget(connection)

    def _finish(self, connection: Connection, parsed: ParsedRequest, result: ComandaError | None) -> None:
        """Answers a request that has no part in the batch, or begins it."""
        if isinstance(result, ComandaError):
            self._answer(connection, parsed, result)
            if parsed.action.is_aside:
                self._release(connection)
        elif parsed.action.is_immediate:
            self._perform(connection, parsed)
        else:
            assert parsed.action.is_aside, "the batch has a result for all that it carries out"
            self._start(self._answer_aside(connection, parsed))

    def _perform(self, connection: Connection, parsed: ParsedRequest) -> None:
        self._answer(connection, parsed, run_handler(parsed, self._server, parsed.request, connection))

    def _answer(self, connection: Connection, parsed: ParsedRequest, result: Reply | ComandaError) -> None:
        answer, then = self._prepare_answer(connection, parsed, result)
        connection.answer(answer)
        if then is not None:
            then()

    def _prepare_answer(
        self, connection: Connection, parsed: ParsedRequest, result: Reply | ComandaError
    ) -> tuple[bytes, Callable[[], None] | None]:
        """Counts and logs a request; returns its answer, and what is to be done once that is written."""
        request = parsed.request
        then = None
        if isinstance(result, ComandaError):
            outcome = result.code
            members = error_reply(result, request.request_id)
        else:
            outcome = "ok"
            if isinstance(result, Followed):
                result, then = result
            members = success_reply(result, request.request_id)
        self._metrics.count_request(parsed.action.name, outcome)
        if request.trace is not None:
            self._log.debug("request_answered", action=parsed.action.name, outcome=outcome, trace=request.trace)
        if self._audit is not None and (outcome == "unauthorized" or parsed.action.audited is not None):
            self._record_audit(self._audit, connection, parsed, outcome)
        return parsed.encode(members), then

    def _record_audit(self, audit: AuditLog, connection: Connection, parsed: ParsedRequest, outcome: str) -> None:
        action, request = parsed.action, parsed.request
        members = {"user": request.user, "address": connection.peer_address, "trace": request.trace}
        if outcome == "unauthorized":
            audit.record_access(action.name, **members, outcome="refused")
        elif outcome == "ok" and action.audited is not None:
            changed = action.audited(self._server, request)
            if changed is not None:
                audit.record_change(action.name, **members, **changed)

    # Beside the turns.

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name="aside")
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _hold(self, connection: Connection) -> None:
        """Keeps the requests of a connection back until its peer has read what it asked for before."""
        await connection.wait_until_read()
        self._release(connection)

    async def _answer_aside(self, connection: Connection, parsed: ParsedRequest) -> None:
        """Carries out an action aside, and those that follow it directly."""
        held = self._held[connection]
        answered = 0
        while True:
            self._answer(connection, parsed, await self._perform_aside(connection, parsed))
            # Answers may be large and requests for them small: the next one has to wait for the peer.
            await connection.wait_until_read()
            following = held[0][1] if held else None
            if type(following) is not ParsedRequest or not following.action.is_aside or following.action.prepare:
                break
            if is_late(following.request.deadline_ms, self._loop.time() - held[0][2]):
                # The next turn refuses it.
                break
            held.popleft()
            parsed = following
            answered += 1
            if answered % _STRETCH == 0:
                await asyncio.sleep(0)
        self._release(connection)
        self._forget_gone()

    async def _perform_aside(self, connection: Connection, parsed: ParsedRequest) -> Reply | ComandaError:
        try:
            reply: Reply = await parsed.action.handler(self._server, parsed.request, connection)
        except ComandaError as error:
            return error
        except Exception:
            return log_internal_error("request_failed", action=parsed.action.name, trace=parsed.request.trace)
        return reply

    def _release(self, connection: Connection) -> None:
        """Lets the later requests of a connection go on."""
        self._inbox.extendleft(reversed(self._held.pop(connection)))
        self._wake()


def _send_answers(connection: Connection, unsent: dict[Connection, list[bytes]]) -> None:
    """Sends the answers to a connection that wait for others of the same turn."""
    answers = unsent.pop(connection, None)
    if answers is not None:
        connection.answer(b"".join(answers), len(answers))
