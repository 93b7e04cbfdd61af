"""Writes what a transaction does to orders into the outbox, in that transaction."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.stores.orders import CANCELLED, DONE, FAILED, QUEUED, RUNNING
from shared.stores.outbox import Moves, encode_moves, spans, told
from shared.stores.sqlite.database import Connection

_PAGE = 2000
_MINUTE = 60_000_000
_STATES = """
SELECT sequence, state, max(coalesce(finished, 0), coalesce(started, 0)), detail FROM progress ORDER BY sequence"""
_WAYS: Mapping[tuple[int, int], Sequence[str]] = {
    (QUEUED, RUNNING): ("started",),
    (QUEUED, DONE): ("started", "done"),
    (QUEUED, FAILED): ("started", "failed"),
    (QUEUED, CANCELLED): ("cancelled",),
    (RUNNING, QUEUED): ("requeued",),
    (RUNNING, DONE): ("done",),
    (RUNNING, FAILED): ("failed",),
    (RUNNING, CANCELLED): ("requeued", "cancelled"),
    (FAILED, QUEUED): ("reopened",),
    (FAILED, RUNNING): ("reopened", "started"),
    (FAILED, DONE): ("reopened", "started", "done"),
    (FAILED, CANCELLED): ("discarded",),
}
"""From one state to another by the members of `Moves`, one entry each."""
_ADD = "INSERT INTO moves (at, last, moves) VALUES (?, ?, ?)"


def add_moves(connection: Connection, moves: Moves, at: int) -> None:
    """Adds an entry, unless nothing has happened; `at` is microseconds since the epoch."""
    if last := moves.last:
        connection.execute(_ADD, (at, last, encode_moves(moves).decode()))


def rebuild_outbox(
    connection: Connection, before: Mapping[int, int], last: int, entries: Iterable[Sequence[Any]]
) -> None:
    """Makes the outbox of `entries`, and of the shortest way from the states `before` to those of now.

    Up to the sequence `last`, orders that are not in `before` were final and are not told of; those behind it are new.
    The entries are number, time, last sequence and moves. When the outbox was rebuilt is noted beside it: entries have
    the times of what they tell, which may be longer ago than unread entries are kept. A change whose time is not known
    has the time of the rebuild.
    """
    now = time.time_ns() // 1000
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('rebuilt', ?)", (now,))
    connection.execute("DELETE FROM moves")
    connection.executemany("INSERT INTO moves (number, at, last, moves) VALUES (?, ?, ?, ?)", entries)
    rows = connection.execute(_STATES)
    while page := rows.fetchmany(_PAGE):
        groups: dict[tuple[Sequence[str], int], list[Any]] = {}
        for sequence, state, at, detail in page:
            was = before.get(sequence, QUEUED if sequence > last else None)
            if was is not None and (way := _WAYS.get((was, state))) is not None:
                groups.setdefault((way, (at or now) // _MINUTE), []).append((sequence, at or now, detail))
        for (way, _), orders in groups.items():
            for step in way:
                add_moves(connection, _build_entry(step, orders), max(at for _, at, _ in orders))


def _build_entry(name: str, orders: Sequence[tuple[int, int, str | None]]) -> Moves:
    if name == "failed":
        return Moves(failed=told((sequence, detail or "") for sequence, _, detail in orders))
    if name == "requeued":
        return Moves(requeued=told((sequence, None) for sequence, _, _ in orders))
    members: dict[str, Any] = {name: spans(sequence for sequence, _, _ in orders)}
    return Moves(**members)
