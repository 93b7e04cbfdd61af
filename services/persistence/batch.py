"""The batch of the persistence server: one commit for all that the requests of a turn write, and one read."""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import inf
from uuid import uuid4

import structlog
from msgspec import structs

from services.persistence.server import Outcome, PersistenceServer, Step
from shared.domain.errors import ComandaError, StoreError
from shared.domain.records import Record, Transaction
from shared.net.connection import Connection
from shared.runtime.log_quota import LogQuota
from shared.runtime.logs import log_internal_error
from shared.server.actions import Members, ParsedRequest
from shared.server.dispatcher import Entry, Postponed, Result
from shared.stores.ports.records import PAGE_BYTES, ItemLookup, ReadRoom

_Found = list[Record | StoreError | None]
"""Records in the order of the request, or the errors in their place."""
_TURN_BYTES = 4 * PAGE_BYTES
"""Maximum size of the records that a turn reads, except that its first read may be larger."""


class RecordBatch:
    """Implements `TurnBatch`: writes with the entries of the audit log first, then reads."""

    def __init__(self, server: PersistenceServer) -> None:
        self._server = server
        self._audit_is_known = True
        self._sessions: dict[Connection, str] = {}
        self._log = structlog.get_logger()
        self._quota = LogQuota()
        self._most_reads: float = inf
        """The number of single items that a turn reads, after one that read more than it had room for."""

    async def carry_out(self, entries: Sequence[Entry], now: float) -> Sequence[Result]:
        """See `TurnBatch.carry_out`."""
        self._server.begin_turn()
        unknown = None if self._audit_is_known else await self._load_audit()
        parts = [
            self._plan_step(connection, item, unknown) if type(item) is ParsedRequest else None
            for connection, item, _ in entries
        ]
        steps = [part for part in parts if isinstance(part, Step)]
        if not steps:
            return [None if isinstance(part, Step) else part for part in parts]
        outcomes = await self._commit_writes([one for step in steps for one in step.transactions])
        if outcomes and isinstance(outcomes[0], StoreError) and all(one is outcomes[0] for one in outcomes):
            # It would only be waited for once more.
            refusal: _Found = [outcomes[0]]
            found: Iterator[_Found | None] = iter([refusal * len(step.asks) for step in steps])
        else:
            found = iter(await self._read_records(steps))
        written = iter(outcomes)
        return [
            self._finish_step(item, part, list(islice(written, len(part.transactions))), next(found))  # type: ignore[arg-type]
            if isinstance(part, Step)
            else part
            for (_, item, _), part in zip(entries, parts, strict=True)
        ]

    def end_turn(self) -> None:
        """See `TurnBatch.end_turn`."""

    def forget(self, connection: Connection) -> None:
        """See `TurnBatch.forget`."""
        self._server.observers.remove_observer(connection)
        self._sessions.pop(connection, None)

    async def _load_audit(self) -> StoreError | None:
        """Loads the end of the audit chain from the store again; returns the error if that fails."""
        try:
            await self._server.audit.load_end()
        except StoreError as error:
            return error
        self._audit_is_known = True
        return None

    def _plan_step(
        self, connection: Connection, parsed: ParsedRequest, unknown: StoreError | None
    ) -> Step | ComandaError | None:
        """Returns a request's step, or None if it needs none. Without the audit log no step is planned."""
        action = parsed.action
        plan = action.handler if action.is_batched else action.prepare
        if plan is None:
            return None
        if unknown is not None:
            return unknown
        try:
            step: Step = plan(self._server, parsed.request, self._session_id(connection))
        except ComandaError as error:
            return error
        except Exception:
            return log_internal_error("request_failed", action=action.name, trace=parsed.request.trace)
        return step

    def _session_id(self, connection: Connection) -> str:
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = uuid4().hex
        return session

    async def _commit_writes(self, transactions: list[Transaction]) -> list[Outcome]:
        if not transactions:
            return []
        server = self._server
        end = server.audit.end_record()
        try:
            outcomes = await server.store.write(transactions if end is None else [*transactions, end])
        except StoreError as error:
            if self._quota.admit():
                values = {"reason": error.message, **self._quota.take_left_out()}
                self._log.error("requests_refused_by_store", requests=len(transactions), **values)
            server.trouble = error.message
            self._audit_is_known = False
            return [error] * len(transactions)
        lost = next((outcome for outcome in outcomes if isinstance(outcome, StoreError)), None)
        server.trouble = None if lost is None else lost.message
        self._audit_is_known = lost is None
        server.observers.wake()
        return outcomes

    async def _read_records(self, steps: list[Step]) -> list[_Found | None]:
        """Returns the records of each step, None if they have no room in this turn: pages, and all others in one read.

        Example: of 512 steps that read 400 KB each, the first 10 get their record. The next turn reads 20, of which
        10 have room, and not 500, most of which a store on another machine would read in vain.
        """
        if not any(step.asks for step in steps):
            return [[]] * len(steps)
        asks = [ask for step in steps if not step.is_page for ask in step.asks]
        wanted = asks[: int(min(self._most_reads, len(asks)))]
        singles = await self._get_records(wanted, ReadRoom(_TURN_BYTES))
        if len(singles) < len(wanted):
            self._most_reads = 2 * len(singles)
        elif asks:
            self._most_reads *= 2
        room = _TURN_BYTES
        found: list[_Found | None] = []
        taken = 0
        full = False
        for step in steps:
            if not step.asks:
                found.append([])
                continue
            records: _Found = []
            if step.is_page:
                full = full or room <= 0
                if not full:
                    page = ReadRoom(PAGE_BYTES)
                    records = await self._get_records(step.asks, page)
                    room -= PAGE_BYTES - page.left
            else:
                records = singles[taken : taken + len(step.asks)]
                taken += len(step.asks)
                full = full or len(records) < len(step.asks)
            # The later requests of a connection wait for the earlier ones.
            found.append(None if full else records)
        return found

    async def _get_records(self, asks: Sequence[ItemLookup], room: ReadRoom) -> _Found:
        if not asks:
            return []
        try:
            return list(await self._server.store.get(asks, room=room))
        except StoreError as error:
            self._server.trouble = error.message
            return [error] * len(asks)

    def _finish_step(
        self, parsed: ParsedRequest, step: Step, outcomes: list[Outcome], found: _Found | None
    ) -> Members | ComandaError | Postponed:
        try:
            for outcome in outcomes:
                # An operation that could not be recorded is not carried out.
                if isinstance(outcome, StoreError):
                    raise outcome
            if found is None:
                return _postpone_reads(parsed, step, outcomes)
            records: list[Record | None] = []
            for record in found:
                if isinstance(record, StoreError):
                    raise record
                records.append(record)
            return step.answer(outcomes, records)
        except ComandaError as error:
            return error
        except Exception:
            return log_internal_error("request_failed")


def _postpone_reads(parsed: ParsedRequest, step: Step, outcomes: list[Outcome]) -> Postponed:
    """Returns the rest of a request that has written, if that is its part, and has still to read."""
    if not step.transactions:
        return Postponed(parsed)
    rest = step._replace(transactions=(), answer=lambda _, records: step.answer(outcomes, records))
    return Postponed(structs.replace(parsed, action=structs.replace(parsed.action, handler=lambda *_: rest)))
