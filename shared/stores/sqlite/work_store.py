"""The order store of the workers on SQLite: results and claims in one transaction, under the file's lock."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from shared.domain.ids import OrderRange
from shared.runtime.file_lock import FileLock
from shared.stores.orders import DONE, FAILED, QUEUED, RUNNING
from shared.stores.outbox import OutboxEntry, detailed_spans, spans
from shared.stores.ports.orders import Advance, Claim, Done, Failure, HandBack, Ticket
from shared.stores.sqlite.database import Connection, Writer, connect, never_wait, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.outbox import add_entry

_BEGIN_FIRST = f"""
INSERT INTO progress (sequence, state, attempt, worker, stored, queued, started)
WITH RECURSIVE run (sequence) AS (VALUES (?1) UNION ALL SELECT sequence + 1 FROM run WHERE sequence < ?2)
SELECT sequence, {RUNNING}, 1, ?3, ?4, ?5, ?6 FROM run WHERE true
ON CONFLICT (sequence) DO NOTHING"""

_BEGIN_AGAIN = f"""
UPDATE progress SET state = {RUNNING}, attempt = ?3, worker = ?4, stored = ?5, queued = ?6, started = ?7,
    finished = NULL, due = NULL
WHERE sequence BETWEEN ?1 AND ?2 AND state = {QUEUED} AND attempt = ?3 - 1"""

_BEGUN = f"""
SELECT sequence, failures FROM progress
WHERE sequence BETWEEN ?1 AND ?2 AND state = {RUNNING} AND attempt = ?3 AND worker = ?4
ORDER BY sequence"""

# The fence: a result counts only while the order is in the very attempt that produced it.
_FENCE = f"WHERE sequence = ?1 AND attempt = ?2 AND state = {RUNNING}"
_DONE = f"UPDATE progress SET state = {DONE}, finished = ?3 {_FENCE}"
_NOTED = f"UPDATE progress SET state = {DONE}, finished = ?3, detail = ?4 {_FENCE}"
_FAILED = f"UPDATE progress SET state = {FAILED}, finished = ?3, detail = ?4, failures = failures + 1 {_FENCE}"
_RETRY = f"UPDATE progress SET state = {QUEUED}, detail = ?4, due = ?5, failures = failures + 1 {_FENCE}"
_KEEP_ATTEMPT = "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?)"
_FORGET_ATTEMPTS = "DELETE FROM attempts WHERE sequence = ? AND attempt < ?"
_DOCUMENTS = "SELECT document FROM orders WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
# Orders that are read between two checks of the size of their documents.
_PORTION = 16
_HAND_BACK = f"UPDATE progress SET state = {QUEUED} {_FENCE}"


class SqliteWorkStore:
    """Implements `WorkStore` for one worker process. Raises StoreError when it cannot be opened."""

    def __init__(self, files: StoreFiles) -> None:
        self._workers_lock = FileLock(files.workers_lock)
        self._workers_lock.acquire_shared()
        self._lock = FileLock(files.progress_lock)
        self._writer = Writer(files.progress)
        self._orders_path = files.orders
        self._orders = connect(files.orders, read_only=True)
        for connection in (self._writer.connection, self._orders):
            # Waiting under the file's lock would block all other workers, and all heartbeats.
            never_wait(connection)

    async def advance(
        self,
        worker: str,
        *,
        done: Sequence[Done] = (),
        failures: Sequence[Failure] = (),
        handed_back: Sequence[HandBack] = (),
        tickets: Sequence[Ticket] = (),
        now: int,
        max_bytes: int | None = None,
    ) -> Advance:
        """See `WorkStore.advance`. Blocks for one fsync, and for other workers' transactions."""
        # Read first: no order may be begun if this fails.
        documents, tickets, untouched = self._read_documents(tickets, max_bytes)
        rows = len(done) + len(failures) + len(handed_back) + sum(ticket.orders.count for ticket in tickets)
        with self._lock, self._writer.transaction(rows) as connection:
            lost = _record_results(connection, done, failures, handed_back)
            if failures:
                _keep_attempts(connection, [failure for failure in failures if failure.sequence not in lost])
            begun = [_begin_orders(connection, worker, ticket, now) for ticket in tickets]
            add_entry(connection, _outbox_entry(done, failures, handed_back, lost, begun), now)
        claims: list[Claim] = []
        refused: list[OrderRange] = []
        for asked, found, (claimed, left) in zip(tickets, documents, begun, strict=True):
            for ticket, failed in claimed:
                start = ticket.orders.first - asked.orders.first
                claims.append(Claim(ticket, found[start : start + ticket.orders.count], failed))
            refused += left
        return Advance(claims, refused, lost, untouched)

    def _read_documents(
        self, tickets: Sequence[Ticket], max_bytes: int | None
    ) -> tuple[list[list[str]], list[Ticket], list[Ticket]]:
        """Reads documents until they reach `max_bytes`; returns them by ticket, these tickets, and the others."""
        found: list[list[str]] = []
        size = 0
        for place, ticket in enumerate(tickets):
            order_range = ticket.orders
            documents: list[str] = []
            with translate_errors(self._orders_path):
                rows = self._orders.execute(_DOCUMENTS, (order_range.first, order_range.stop - 1))
                while portion := rows.fetchmany(_PORTION):
                    documents += [document for (document,) in portion]
                    if max_bytes is None:
                        continue
                    size += sum(map(len, documents[-len(portion) :]))
                    if size >= max_bytes:
                        break
            found.append(documents)
            if max_bytes is not None and size >= max_bytes:
                taken, rest = ticket.split_at(len(documents))
                return found, [*tickets[:place], taken], [*rest, *tickets[place + 1 :]]
        return found, list(tickets), []

    async def close(self) -> None:
        """Releases the files."""
        self._orders.close()
        with self._lock:
            self._writer.close()
        self._lock.close()
        self._workers_lock.close()


def _outbox_entry(
    done: Sequence[Done],
    failures: Sequence[Failure],
    handed_back: Sequence[HandBack],
    lost: set[int],
    begun: Sequence[tuple[list[tuple[Ticket, int]], list[OrderRange]]],
) -> OutboxEntry:
    """Returns the outbox entry of the transaction."""
    final = [(failure.sequence, failure.detail) for failure in failures if failure.retry_at is None]
    back: list[tuple[int, str | None]] = [(one.sequence, None) for one in handed_back]
    back += [(failure.sequence, failure.detail) for failure in failures if failure.retry_at is not None]
    return OutboxEntry(
        done=spans(one.sequence for one in done if one.sequence not in lost),
        failed=detailed_spans(one for one in final if one[0] not in lost),
        requeued=detailed_spans(one for one in back if one[0] not in lost),
        started=[(ticket.orders.first, ticket.orders.count) for claimed, _ in begun for ticket, _ in claimed],
    )


def _record_results(
    connection: Connection, done: Sequence[Done], failures: Sequence[Failure], handed_back: Sequence[HandBack]
) -> set[int]:
    """Records results; returns the sequences that were fenced off."""
    lost: set[int] = set()
    if done:
        # Notes are rare. The driver takes longer to bind one None than to update the whole row.
        plain = [one[:3] for one in done if one.note is None]
        noted = [one for one in done if one.note is not None]
        for statement, results in ((_DONE, plain), (_NOTED, noted)):
            if results:
                lost |= _apply_results(connection, statement, results, DONE)
    final = [failure[:4] for failure in failures if failure.retry_at is None]
    if final:
        lost |= _apply_results(connection, _FAILED, final, FAILED)
    if retried := [failure for failure in failures if failure.retry_at is not None]:
        lost |= _apply_results(connection, _RETRY, [failure[:5] for failure in retried])
    if handed_back:
        lost |= _apply_results(connection, _HAND_BACK, handed_back)
    return lost


def _keep_attempts(connection: Connection, failures: Sequence[Failure]) -> None:
    """Stores failed attempts, and deletes the oldest of each order."""
    connection.executemany(
        _KEEP_ATTEMPT,
        [(one.sequence, one.attempt, one.finished, one.detail, one.place, one.traceback) for one in failures],
    )
    old = [(one.sequence, one.oldest_kept) for one in failures if one.oldest_kept > 1]
    if old:
        connection.executemany(_FORGET_ATTEMPTS, old)


def _apply_results(
    connection: Connection, statement: str, results: Sequence[Any], total: int | None = None
) -> set[int]:
    """Executes the statement for each result; returns the sequences for which it changed nothing."""
    connection.execute("SAVEPOINT results")
    lost: set[int] = set()
    if connection.executemany(statement, results).rowcount < len(results):
        # Rare: some were fenced off. Executing the statement one by one shows which.
        connection.execute("ROLLBACK TO results")
        lost = {result[0] for result in results if not connection.execute(statement, result).rowcount}
    connection.execute("RELEASE results")
    if total is not None:
        recorded = len(results) - len(lost)
        connection.execute("UPDATE totals SET orders = orders + ? WHERE state = ?", (recorded, total))
    return lost


def _begin_orders(
    connection: Connection, worker: str, ticket: Ticket, now: int
) -> tuple[list[tuple[Ticket, int]], list[OrderRange]]:
    """Claims orders of a ticket; returns tickets with their number of failures, and the ranges not claimed."""
    order_range = ticket.orders
    first, last = order_range.first, order_range.stop - 1
    if ticket.attempt == 1:
        begun = connection.execute(_BEGIN_FIRST, (first, last, worker, ticket.stored, ticket.queued, now))
        if begun.rowcount == order_range.count:
            return [(ticket, 0)], []
    else:
        values = (first, last, ticket.attempt, worker, ticket.stored, ticket.queued, now)
        connection.execute(_BEGIN_AGAIN, values)
    rows = connection.execute(_BEGUN, (first, last, ticket.attempt, worker)).fetchall()
    claimed: list[tuple[Ticket, int]] = []
    left = set(range(first, last + 1)) - {sequence for sequence, _ in rows}
    for failed in sorted({failures for _, failures in rows}):
        sequences = [sequence for sequence, failures in rows if failures == failed]
        claimed += ((replace(ticket, orders=part), failed) for part in order_range.select(sequences))
    return claimed, order_range.select(sorted(left))
