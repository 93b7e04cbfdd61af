"""Changes of the state of orders by the intake: cancel, retry, and rescue from dead workers.

All methods block and may wait for the workers' lock, so the store calls them in its thread for `progress`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from shared.domain.errors import Conflict
from shared.domain.ids import OrderRange
from shared.domain.states import State
from shared.runtime.clock import read_clock
from shared.runtime.file_lock import FileLock
from shared.stores.orders import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    STATES,
    OpenOrder,
    group_open,
    poison_detail,
)
from shared.stores.outbox import OutboxEntry, detailed_spans
from shared.stores.ports.orders import Cancellation, OpenRange, Rescue, Ticket
from shared.stores.sqlite.archives import is_archived
from shared.stores.sqlite.database import Connection, Writer, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.open_orders import OpenOrderTracker
from shared.stores.sqlite.order_lister import connect_order_files
from shared.stores.sqlite.outbox import add_entry
from shared.stores.sqlite.rows import JOINED, OPEN_COLUMNS

_OPEN_IN_RANGE = f"""
SELECT {OPEN_COLUMNS} FROM {JOINED}
WHERE o.sequence BETWEEN ? AND ? AND (p.sequence IS NULL OR p.state = {QUEUED}) ORDER BY o.sequence"""
_FINAL_IN_RANGE = f"""
SELECT sequence, state FROM progress.progress
WHERE sequence BETWEEN ? AND ? AND state >= {DONE} ORDER BY sequence"""
_CANCEL = f"""
INSERT INTO progress (sequence, state, attempt) VALUES (?, {CANCELLED}, 0)
ON CONFLICT (sequence) DO UPDATE SET state = {CANCELLED} WHERE state = {QUEUED}"""
_DISCARD = f"UPDATE progress SET state = {CANCELLED} WHERE sequence = ? AND state = {FAILED}"
_RETRY = f"UPDATE progress SET state = {QUEUED}, due = NULL, finished = NULL WHERE sequence = ? AND state = {FAILED}"
_IN_ATTEMPT = f"sequence BETWEEN ?1 AND ?2 AND state = {RUNNING} AND attempt = ?3"
_POISON = f"""
UPDATE progress SET state = {FAILED}, finished = ?5, detail = ?6 WHERE {_IN_ATTEMPT} AND rescues >= ?4
RETURNING sequence"""
_REQUEUE = f"UPDATE progress SET state = {QUEUED}, rescues = rescues + 1 WHERE {_IN_ATTEMPT} RETURNING sequence"
_TOTAL = "UPDATE totals SET orders = orders + ? WHERE state = ?"


class OrderChanges:
    """Changes orders in the file of progress; `node` is the store's name in ids."""

    def __init__(
        self, files: StoreFiles, node: int, progress: Writer, progress_lock: FileLock, open_orders: OpenOrderTracker
    ) -> None:
        self._files = files
        self._node = node
        self._progress = progress
        self._progress_lock = progress_lock
        self._open = open_orders

    def cancel_order(self, sequence: int) -> Cancellation | None:
        """Cancels an order that is `en cola` or `fallido`; returns None for other states.

        Raises Conflict for an archived order, and StoreError.
        """
        with self._progress_lock, self._progress.transaction(1) as connection:
            _refuse_archived(connection, sequence)
            if connection.execute(_CANCEL, (sequence,)).rowcount:
                was, entry = State.QUEUED, OutboxEntry(cancelled=[(sequence, 1)])
            elif connection.execute(_DISCARD, (sequence,)).rowcount:
                was, entry = State.FAILED, OutboxEntry(discarded=[(sequence, 1)])
                connection.execute(_TOTAL, (-1, FAILED))
            else:
                return None
            connection.execute(_TOTAL, (1, CANCELLED))
            add_entry(connection, entry, read_clock())
            return Cancellation(was)

    def retry_order(self, sequence: int) -> bool:
        """Requeues a `fallido` order; returns False for other states.

        Raises Conflict for an archived order, and StoreError.
        """
        with self._progress_lock, self._progress.transaction(1) as connection:
            _refuse_archived(connection, sequence)
            changed = bool(connection.execute(_RETRY, (sequence,)).rowcount)
            connection.execute(_TOTAL, (-int(changed), FAILED))
            if changed:
                self._open.add_reopened(connection, sequence)
                add_entry(connection, OutboxEntry(reopened=[(sequence, 1)]), read_clock())
        return changed

    def rescue_orders(self, tickets: Sequence[Ticket], poison: int) -> Rescue:
        """See `OrderStore.rescue`. Raises StoreError."""
        now = max((ticket.queued for ticket in tickets), default=0)
        detail = poison_detail(poison)
        failed: list[int] = []
        back: list[int] = []
        with self._progress_lock, self._progress.transaction(len(tickets)) as connection:
            for ticket in tickets:
                place = (ticket.orders.first, ticket.orders.stop - 1, ticket.attempt)
                failed += _list_sequences(connection.execute(_POISON, (*place, poison, now, detail)))
                back += _list_sequences(connection.execute(_REQUEUE, place))
            connection.execute(_TOTAL, (len(failed), FAILED))
            entry = OutboxEntry(
                failed=detailed_spans((one, detail) for one in failed),
                requeued=detailed_spans((one, None) for one in back),
            )
            add_entry(connection, entry, read_clock())
        requeued: list[OpenRange] = []
        finals: dict[State, list[OrderRange]] = {}
        reading = connect_order_files(self._files)
        with translate_errors(self._files.orders):
            for ticket in tickets:
                bounds = (ticket.orders.first, ticket.orders.stop - 1)
                requeued += _group_rows(reading.execute(_OPEN_IN_RANGE, bounds), self._node)
                rows = reading.execute(_FINAL_IN_RANGE, bounds).fetchall()
                for state in {state for _, state in rows}:
                    sequences = [sequence for sequence, final in rows if final == state]
                    finals.setdefault(STATES[state], []).extend(ticket.orders.select(sequences))
            reading.close()
        return Rescue(requeued, finals)


def _refuse_archived(connection: Connection, sequence: int) -> None:
    if is_archived(connection, sequence):
        raise Conflict("the order is archived, and cannot be changed any more", field="id")


def _list_sequences(rows: Iterable[Sequence[Any]]) -> list[int]:
    return [int(row[0]) for row in rows]


def _group_rows(rows: Iterable[Sequence[Any]], node: int) -> list[OpenRange]:
    return group_open((OpenOrder(*row) for row in rows), node)
