"""Writes the changes of state of a transaction into the outbox, in that transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.domain.states import shortest_path
from shared.runtime.clock import read_clock
from shared.stores.orders import QUEUED, STATES
from shared.stores.outbox import TRANSITIONS_BY_MEMBER, OutboxEntry, detailed_spans, encode_entry, spans
from shared.stores.sqlite.database import Connection

_PAGE = 2000
_MINUTE = 60_000_000
_STATES = """
SELECT sequence, state, max(coalesce(finished, 0), coalesce(started, 0)), detail FROM progress ORDER BY sequence"""
_MEMBERS = {step: member for member, step in TRANSITIONS_BY_MEMBER.items()}
_ADD = "INSERT INTO moves (at, last, moves) VALUES (?, ?, ?)"


def add_entry(connection: Connection, entry: OutboxEntry, at: int) -> None:
    """Adds an entry, unless it is empty; `at` is microseconds since the epoch."""
    if last := entry.last:
        connection.execute(_ADD, (at, last, encode_entry(entry).decode()))


def rebuild_outbox(
    connection: Connection, before: Mapping[int, int], last: int, entries: Iterable[Sequence[Any]]
) -> None:
    """Makes the outbox of `entries`, and of the fewest transitions from the states `before` to those of now.

    Up to the sequence `last`, orders that are not in `before` were final and get no entry; those behind it are new. The
    entries are number, time, last sequence and JSON. The time of the rebuild is stored beside the outbox: entries have
    the times of their changes, which may be longer ago than unread entries are kept. A change whose time is not known
    has the time of the rebuild.
    """
    now = read_clock()
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('rebuilt', ?)", (now,))
    connection.execute("DELETE FROM moves")
    connection.executemany("INSERT INTO moves (number, at, last, moves) VALUES (?, ?, ?, ?)", entries)
    rows = connection.execute(_STATES)
    while page := rows.fetchmany(_PAGE):
        groups: dict[tuple[int, int, int], list[Any]] = {}
        for sequence, state, at, detail in page:
            was = before.get(sequence, QUEUED if sequence > last else None)
            if was is not None and was != state:
                groups.setdefault((was, state, (at or now) // _MINUTE), []).append((sequence, at or now, detail))
        for (was, state, _), orders in groups.items():
            for step in shortest_path(STATES[was], STATES[state]):
                add_entry(connection, _build_entry(_MEMBERS[step], orders), max(at for _, at, _ in orders))


def _build_entry(member: str, orders: Sequence[tuple[int, int, str | None]]) -> OutboxEntry:
    if member == "failed":
        return OutboxEntry(failed=detailed_spans((sequence, detail or "") for sequence, _, detail in orders))
    if member == "requeued":
        return OutboxEntry(requeued=detailed_spans((sequence, None) for sequence, _, _ in orders))
    members: dict[str, Any] = {member: spans(sequence for sequence, _, _ in orders)}
    return OutboxEntry(**members)
