"""The batch of the distributed service: one transaction for all writes of a turn of the event loop."""

from collections.abc import Sequence
from typing import Any

import structlog

from services.distributed.actions import DistributedServer
from services.distributed.events import PlainEvent
from shared.domain.errors import ComandaError, StoreError
from shared.net.connection import Connection
from shared.runtime.log_quota import LogQuota
from shared.runtime.logs import log_internal_error
from shared.server.actions import ParsedRequest, Reply
from shared.server.dispatcher import Entry, Result, run_handler
from shared.wire.replies import encode_line


class NotificationBatch:
    """Implements `TurnBatch`: writes first, in one transaction with the nonces of pickles, then reads."""

    def __init__(self, server: DistributedServer) -> None:
        self._server = server
        self._log = structlog.get_logger()
        self._quota = LogQuota()

    async def carry_out(self, entries: Sequence[Entry], now: float) -> Sequence[Result]:
        """See `TurnBatch.carry_out`. Blocks for one fsync where something is written."""
        parsed = [item if isinstance(item, ParsedRequest) else None for _, item, _ in entries]
        writes = [one for one in parsed if one and one.action.is_batched and not one.action.reads]
        written, error = self._commit_writes(writes)
        results = iter(written)
        return [None if one is None else self._publish_committed(one, results, error) for one in parsed]

    def end_turn(self) -> None:
        """See `TurnBatch.end_turn`."""

    def forget(self, connection: Connection) -> None:
        """See `TurnBatch.forget`."""
        self._server.observers.remove(connection)

    def _publish_committed(self, parsed: ParsedRequest, written: Any, error: ComandaError | None) -> Result:
        action = parsed.action
        if action.is_batched and not action.reads:
            result: Result = next(written)
            return result
        if error is not None and parsed.encode is not encode_line:
            # The nonce of its pickle is not stored: it could be sent again.
            return error
        return run_handler(parsed, self._server, parsed.request) if action.reads else None

    def _commit_writes(
        self, writes: Sequence[ParsedRequest]
    ) -> tuple[Sequence[Reply | ComandaError], ComandaError | None]:
        """Commits the writes and the nonces of pickles; returns the results, or the error if nothing was committed."""
        read_model = self._server.read_model
        nonces = read_model.nonces
        if not writes and not nonces.has_unsaved:
            return [], None
        results: list[Reply | ComandaError] = []
        events: list[PlainEvent] = []
        try:
            with read_model.transaction(len(writes)) as commit:
                for parsed in writes:
                    try:
                        results.append(parsed.action.handler(self._server, parsed.request, events))
                    except ComandaError as error:
                        results.append(error)
                nonces.save_new()
                commit(events)
            nonces.confirm_saved()
        except StoreError as error:
            if self._quota.admit():
                values = {"reason": error.message, **self._quota.take_left_out()}
                self._log.error("requests_refused_by_store", requests=len(writes), **values)
            return [error] * len(writes), error
        except Exception:
            fault = log_internal_error("requests_failed", requests=len(writes))
            return [fault] * len(writes), fault
        return results, None
