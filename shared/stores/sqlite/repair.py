"""Repair of an intake's files with different states, for example after a restore or a copy of files in use.

Each file may be older or newer than the others, or missing. A start compares the assigned sequences in each file, which
costs a few point reads. If they disagree, the next sequence is higher than the largest in any of them, progress without
an order is moved to separate tables (`set_aside_ERA_progress`, `set_aside_ERA_moves`, and `set_aside_ERA_attempts` if
all of the file is moved), and the era is incremented, so that followers count again from the first order.

Example: `orders.db` was copied when it had the orders 1 to 20, `orders-progress.db` later, with the orders 1 to 50. The
rows 21 to 50 are set aside, 30 orders are missing, and the next order is the 51st.

Orders that were archived after their file was copied have no progress, like orders that no worker has begun. They are
set aside in `orders.db` (`set_aside_ERA_orders`) and not processed again, since the archive has them. If the progress
file is older than the archive, the archive's files are registered there again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.runtime.clock import read_clock
from shared.stores.orders import DONE, FAILED
from shared.stores.outbox import Span, decode_entry, encode_entry, spans, without_orders
from shared.stores.ports.orders import Repair
from shared.stores.sqlite.archives import add_archive, archived_spans, find_unknown_archives
from shared.stores.sqlite.database import Connection, Writer
from shared.stores.sqlite.order_positions import OrderPosition

_KEPT_REPAIRS = 20
_MAKE_REPAIRS = """
CREATE TABLE IF NOT EXISTS repairs (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, details TEXT NOT NULL)"""
_HAS_REPAIRS = "SELECT 1 FROM sqlite_master WHERE name = 'repairs'"
_PARTS = """
SELECT type, name, sql FROM sqlite_master
WHERE tbl_name IN ('progress', 'attempts', 'moves', 'past', 'archives') AND sql IS NOT NULL
ORDER BY type = 'view', type = 'trigger', type = 'index'"""
_UNMATCHED = """
CREATE TABLE {} AS SELECT * FROM progress p
WHERE p.sequence > {} AND NOT EXISTS (SELECT 1 FROM accepted.orders o WHERE o.sequence = p.sequence)"""
_ENTRIES = "SELECT number, moves FROM moves WHERE number > ? AND last >= ? ORDER BY number LIMIT 1000"
_COUNT_TOTALS = f"""
UPDATE totals SET orders = (SELECT count(*) FROM progress p WHERE p.state = totals.state) + (
    SELECT coalesce(sum(CASE totals.state WHEN {DONE} THEN done WHEN {FAILED} THEN failed ELSE cancelled END), 0)
    FROM archives WHERE removed = 1)"""
_COUNT_ARCHIVED = "SELECT coalesce(sum(orders), 0) FROM archives WHERE removed = 1"
_NEWEST_ARCHIVED = "SELECT coalesce(max(last), 0) FROM main.archives"
_FIRST_STORED = "SELECT min(sequence) FROM main.orders WHERE sequence BETWEEN ? AND ?"
_HAS_PROGRESS = "SELECT 1 FROM main.progress WHERE sequence = ?"
_RAISE_FLOOR = "INSERT OR REPLACE INTO main.meta (name, value) VALUES ('floor', max(?, ?))"
_EMPTY_MOVE = "INSERT OR IGNORE INTO moves (number, at, last, moves) VALUES (?, ?, 0, '{}')"

_decode = msgspec.json.Decoder(Repair).decode


class ReconciledFiles(NamedTuple):
    """The state of the files after reconciliation."""

    next: int
    """The sequence of the next order."""
    accepted: int
    """Number of orders."""
    settled: int
    """The watermark: every order up to this sequence is final, except stragglers."""
    repair: Repair | None
    """The repair at this start, if any."""
    repairs: list[Repair]
    """The last repairs, this one included, oldest first."""


class _FileState(NamedTuple):
    """The state of one file."""

    node: int | None
    era: int
    floor: int
    """No sequence up to this one is assigned again."""
    newest: int
    """The largest sequence in the file."""


def reconcile_files(
    orders: Writer, progress: Writer, archive: Path, followers: Sequence[OrderPosition]
) -> ReconciledFiles:
    """Compares the files, and repairs them if they disagree; the caller owns both. Raises StoreError.

    `archive` is the folder of archived orders. `followers` are the positions of the followers.
    """
    accepted = _read_state(orders.connection, "orders")
    worked = _read_state(progress.connection, "progress")
    worked = worked._replace(newest=max(worked.newest, _read_number(progress.connection, _NEWEST_ARCHIVED)))
    assert accepted.node is not None, "a store is named when it is opened"
    last_move = _read_number(progress.connection, "SELECT coalesce(max(number), 0) FROM moves")
    reasons = list(_find_reasons(accepted, worked, followers, last_move))
    of_other_orders = worked.node not in (None, accepted.node)
    archived_before = [] if of_other_orders else _archived_before(orders.connection, progress.connection)
    if archived_before:
        reasons.append("orders_before_archive")
    unknown = (
        {} if of_other_orders else find_unknown_archives(archive, orders.connection, progress.connection, accepted.node)
    )
    if unknown:
        reasons.append("progress_before_archive")
    if not reasons:
        if worked.node is None:
            with progress.transaction(2) as connection:
                _save_meta(connection, node=accepted.node, era=accepted.era)
        return _reconciled_files(orders, progress, None)
    era = 1 + max(accepted.era, worked.era, *(one.era for one in followers), 0)
    floor = max(accepted.floor, accepted.newest, worked.floor, worked.newest, *(one.order for one in followers), 0)
    move = max(last_move, *(one.move for one in followers if one.node == accepted.node), 0)
    orders_aside = _set_archived_aside(orders, era, archived_before)
    stored = _read_number(orders.connection, "SELECT count(*) FROM orders")
    archived = 0 if of_other_orders else _read_number(progress.connection, _COUNT_ARCHIVED)
    archived += sum(len(contents.sequences) for contents in unknown.values())
    missing = floor - stored - archived
    with _attach_orders(progress.connection, orders.path), progress.transaction(1) as connection:
        if of_other_orders:
            names, count = _set_all_aside(connection, era)
        else:
            low = accepted.newest if accepted.era == worked.era else 0
            names, count = _set_unmatched_aside(connection, era, low)
        for name, contents in unknown.items():
            add_archive(connection, name, (archive / name).read_bytes(), contents, removed=True)
            for first, length in spans(contents.sequences):
                place = (first, first + length - 1)
                for table in ("attempts", "progress"):
                    connection.execute(f"DELETE FROM {table} WHERE sequence BETWEEN ? AND ?", place)
        connection.execute(_COUNT_TOTALS)
        # Final orders may be open now: this start reads every order.
        connection.execute("DELETE FROM stragglers")
        _save_meta(connection, node=accepted.node, era=era, floor=floor, settled=0)
        now = read_clock()
        if unknown:
            # The outbox may lack the end of some of these orders: followers restart from the totals.
            move = max(move, 1)
            _save_meta(connection, trimmed=move)
        connection.execute(_EMPTY_MOVE, (move, now))
        repair = Repair(
            at=now,
            reasons=reasons,
            orders_last=accepted.newest,
            progress_last=worked.newest,
            followed_last=max((one.order for one in followers), default=0),
            next=floor + 1,
            missing=missing - _read_meta(orders.connection, "missing"),
            set_aside=count,
            set_aside_in=[*names, *orders_aside],
            open=_read_number(
                connection,
                "SELECT count(*) FROM accepted.orders o WHERE NOT EXISTS "
                "(SELECT 1 FROM progress p WHERE p.sequence = o.sequence)",
            ),
        )
        connection.execute(_MAKE_REPAIRS)
        details = msgspec.json.encode(repair).decode()
        connection.execute("INSERT INTO repairs (at, details) VALUES (?, ?)", (now, details))
        connection.execute(
            "DELETE FROM repairs WHERE number <= (SELECT max(number) FROM repairs) - ?", (_KEPT_REPAIRS,)
        )
    # Last: after an interruption the next start finds different eras, and repairs again.
    with orders.transaction(3) as connection:
        _save_meta(connection, era=era, floor=floor, missing=missing)
    return _reconciled_files(orders, progress, repair)


def _find_reasons(
    accepted: _FileState, worked: _FileState, followers: Sequence[OrderPosition], last_move: int
) -> Iterator[str]:
    """Yields the reasons why the states of the files differ."""
    if worked.node is None and not worked.newest and accepted.newest:
        yield "progress_missing"
    elif worked.node not in (None, accepted.node):
        yield "progress_of_other_orders"
    elif worked.newest > max(accepted.newest, accepted.floor):
        yield "progress_ahead"
    elif worked.era != accepted.era:
        yield "different_eras"
    known = max(accepted.newest, accepted.floor, worked.newest, worked.floor)
    own = [one for one in followers if one.node == accepted.node]
    if any(one.order > known for one in followers) or any(one.era > worked.era for one in own):
        yield "follower_ahead"
    if any(one.move > last_move for one in own if one.era == worked.era):
        yield "progress_behind_follower"


def _read_state(connection: Connection, table: str) -> _FileState:
    known = dict(connection.execute("SELECT name, value FROM main.meta").fetchall())
    newest = _read_number(connection, f"SELECT coalesce(max(sequence), 0) FROM main.{table}")
    return _FileState(known.get("node"), known.get("era", 0), known.get("floor", 0), newest)


def _archived_before(orders: Connection, progress: Connection) -> list[Span]:
    """Returns the spans of archived orders that the order file contains although their progress is deleted.

    Rows of progress are deleted after those of the orders, so the first row of a span decides for all.
    """
    first = orders.execute("SELECT min(sequence) FROM main.orders").fetchone()[0]
    found = []
    for span in [] if first is None else archived_spans(progress, first):
        sequence = orders.execute(_FIRST_STORED, (span[0], span[0] + span[1] - 1)).fetchone()[0]
        if sequence is not None and progress.execute(_HAS_PROGRESS, (sequence,)).fetchone() is None:
            found.append(span)
    return found


def _set_archived_aside(orders: Writer, era: int, archived: Sequence[Span]) -> list[str]:
    """Moves archived orders to a separate table; their sequences are not assigned again, even if no order is left."""
    if not archived:
        return []
    name = f"set_aside_{era}_orders"
    with orders.transaction(sum(count for _, count in archived)) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM orders WHERE false")
        for first, count in archived:
            place = (first, first + count - 1)
            connection.execute(f"INSERT INTO {name} SELECT * FROM orders WHERE sequence BETWEEN ? AND ?", place)
            connection.execute("DELETE FROM orders WHERE sequence BETWEEN ? AND ?", place)
        last = max(first + count - 1 for first, count in archived)
        connection.execute(_RAISE_FLOOR, (last, _read_meta(connection, "floor")))
    return [name]


def _set_all_aside(connection: Connection, era: int) -> tuple[list[str], int]:
    """Renames the tables, at the same cost for any number of rows, and creates empty ones."""
    parts = connection.execute(_PARTS).fetchall()
    names = [f"set_aside_{era}_{table}" for table in ("progress", "attempts", "moves", "archives")]
    for kind, name, _ in reversed(parts):
        connection.execute(
            f"ALTER TABLE {name} RENAME TO set_aside_{era}_{name}" if kind == "table" else f"DROP {kind} {name}"
        )
    for _, _, statement in parts:
        connection.execute(statement)
    return names, _read_number(connection, f"SELECT count(*) FROM {names[0]}")


def _set_unmatched_aside(connection: Connection, era: int, low: int) -> tuple[list[str], int]:
    """Moves the rows after `low` whose orders are missing, and removes these orders from the outbox.

    Copies of the original outbox entries are kept; the entries keep their numbers, which followers use as positions.
    """
    rows, entries = (f"set_aside_{era}_{table}" for table in ("progress", "moves"))
    connection.execute(_UNMATCHED.format(rows, low))
    sequences = connection.execute(f"SELECT sequence FROM {rows} ORDER BY sequence")
    unmatched = spans(sequence for (sequence,) in sequences)
    if not unmatched:
        connection.execute(f"DROP TABLE {rows}")
        return [], 0
    connection.execute(f"DELETE FROM progress WHERE sequence IN (SELECT sequence FROM {rows})")
    connection.execute(f"CREATE TABLE {entries} AS SELECT * FROM moves WHERE false")
    number = 0
    while page := connection.execute(_ENTRIES, (number, unmatched[0][0])).fetchall():
        for number, text in page:
            entry = decode_entry(text)
            left = without_orders(entry, unmatched)
            if left != entry:
                connection.execute(f"INSERT INTO {entries} SELECT * FROM moves WHERE number = ?", (number,))
                change = (left.last, encode_entry(left).decode(), number)
                connection.execute("UPDATE moves SET last = ?, moves = ? WHERE number = ?", change)
    return [rows, entries], sum(count for _, count in unmatched)


def _reconciled_files(orders: Writer, progress: Writer, repair: Repair | None) -> ReconciledFiles:
    newest = _read_number(orders.connection, "SELECT coalesce(max(sequence), 0) FROM orders")
    last = max(newest, _read_meta(orders.connection, "floor"))
    repairs: list[Repair] = []
    if progress.connection.execute(_HAS_REPAIRS).fetchone() is not None:
        rows = progress.connection.execute("SELECT details FROM repairs ORDER BY number").fetchall()
        repairs = [_decode(details) for (details,) in rows]
    settled = _read_meta(progress.connection, "settled")
    return ReconciledFiles(last + 1, last - _read_meta(orders.connection, "missing"), settled, repair, repairs)


@contextmanager
def _attach_orders(connection: Connection, path: Path) -> Iterator[None]:
    connection.execute("ATTACH DATABASE ? AS accepted", (str(path),))
    try:
        yield
    finally:
        connection.execute("DETACH DATABASE accepted")


def _save_meta(connection: Connection, **values: int) -> None:
    connection.executemany("INSERT OR REPLACE INTO main.meta (name, value) VALUES (?, ?)", list(values.items()))


def _read_meta(connection: Connection, name: str) -> int:
    return _read_number(connection, f"SELECT coalesce(max(value), 0) FROM main.meta WHERE name = '{name}'")


def _read_number(connection: Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])
