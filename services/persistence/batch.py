"""The batch of the persistence server: one commit for all that the requests of a turn write, and one read."""

from collections.abc import Iterator, Sequence
from itertools import islice
from uuid import uuid4

import structlog

from services.persistence.server import Outcome, PersistenceServer, Step
from shared.domain.errors import ComandaError, StoreError
from shared.domain.records import Record, Transaction
from shared.net.connection import Connection
from shared.runtime.log_quota import LogQuota
from shared.runtime.logs import log_internal_error
from shared.server.actions import Members, ParsedRequest
from shared.server.dispatcher import Entry, Result
from shared.stores.ports.records import PAGE_BYTES, ItemLookup

_Found = list[Record | StoreError | None]
"""Records in the order of the request, or the errors in their place."""


class RecordBatch:
    """Implements `TurnBatch`: writes with the entries of the audit log first, then reads."""

    def __init__(self, server: PersistenceServer) -> None:
        self._server = server
        self._audit_is_known = True
        self._sessions: dict[Connection, str] = {}
        self._log = structlog.get_logger()
        self._quota = LogQuota()

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
            found: Iterator[_Found] = iter([refusal * len(step.asks) for step in steps])
        else:
            found = iter(await self._read_records(steps))
        written = iter(outcomes)
        return [
            self._finish_step(part, list(islice(written, len(part.transactions))), next(found))
            if isinstance(part, Step)
            else part
            for part in parts
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

    async def _read_records(self, steps: list[Step]) -> list[_Found]:
        """Returns the records of each step: all in one read, except pages, which have a bound in bytes."""
        asks = [ask for step in steps if not step.is_page for ask in step.asks]
        found = iter(await self._get_records(asks))
        return [
            await self._get_records(step.asks, room=PAGE_BYTES) if step.is_page else list(islice(found, len(step.asks)))
            for step in steps
        ]

    async def _get_records(self, asks: Sequence[ItemLookup], *, room: int | None = None) -> _Found:
        if not asks:
            return []
        try:
            return list(await self._server.store.get(asks, room=room))
        except StoreError as error:
            self._server.trouble = error.message
            return [error] * len(asks)

    def _finish_step(self, step: Step, outcomes: list[Outcome], found: _Found) -> Members | ComandaError:
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
            return step.answer(outcomes, records)
        except ComandaError as error:
            return error
        except Exception:
            return log_internal_error("request_failed")
