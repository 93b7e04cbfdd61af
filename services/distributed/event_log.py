"""The event log: numbered events, bounded by their number and their age."""

from collections.abc import Sequence
from typing import NamedTuple

from services.distributed.events import Entry, decode_entry, encode_entry, entry_kind
from shared.runtime.clock import read_clock
from shared.stores.sqlite.database import Connection

_APPEND = "INSERT INTO log (number, events, at, body) VALUES (?, ?, ?, ?)"
_FROM = "SELECT number, events, body FROM log WHERE number > ? - ? AND number + events > ? ORDER BY number LIMIT ?"
_FIRST_SINCE = "SELECT number FROM log WHERE at >= ? ORDER BY number LIMIT 1"
_PAGE_ROWS = 20
# Rows are let go of in such portions: a few at a time would cost more than they hold.
_SLACK = 0.05


class Logged(NamedTuple):
    """A new entry with the number of its first event."""

    number: int
    entry: Entry


class StoredEntry(NamedTuple):
    """A stored entry, the number of its first event, and its number of events."""

    number: int
    events: int
    body: str

    @property
    def kind(self) -> tuple[str, str]:
        """Topic and event name, read without decoding the entry."""
        return entry_kind(self.body)

    @property
    def entry(self) -> Entry:
        """The decoded entry."""
        entry: Entry = decode_entry(self.body)
        return entry


class EventLog:
    """The log in the service's file: at most about `limit` events, none older than `seconds`."""

    def __init__(self, connection: Connection, *, limit: int, seconds: float) -> None:
        self._connection = connection
        self._limit = limit
        self._seconds = seconds
        self._largest: int = connection.execute("SELECT coalesce(max(events), 1) FROM log").fetchone()[0]
        row = connection.execute("SELECT value FROM counts WHERE name = 'events'").fetchone()
        self.next: int = 1 if row is None else row[0]
        """Number of the next event."""
        self.oldest = self._load_oldest()
        """Number of the oldest stored event; that of the next event if there is none."""

    def _load_oldest(self) -> int:
        row = self._connection.execute("SELECT number FROM log ORDER BY number LIMIT 1").fetchone()
        return self.next if row is None else int(row[0])

    def append_entries(self, entries: Sequence[Entry]) -> list[Logged]:
        """Adds entries within the caller's transaction; call `confirm_append` after the commit."""
        number = self.next
        logged: list[Logged] = []
        for entry in entries:
            logged.append(Logged(number, entry))
            number += entry.count_events
        rows = [(one.number, one.entry.count_events, one.entry.at, encode_entry(one.entry).decode()) for one in logged]
        self._connection.executemany(_APPEND, rows)
        self._connection.execute("INSERT OR REPLACE INTO counts VALUES ('events', ?)", (number,))
        return logged

    def confirm_append(self, logged: Sequence[Logged]) -> None:
        """Records that these entries are committed."""
        if logged:
            last = logged[-1]
            self.next = last.number + last.entry.count_events
            self._largest = max(self._largest, *(one.entry.count_events for one in logged))

    def read_page(self, number: int) -> list[StoredEntry]:
        """Returns a page of entries from the one with this event number; empty at the end."""
        rows = self._connection.execute(_FROM, (number, self._largest, number, _PAGE_ROWS)).fetchall()
        return [StoredEntry(*row) for row in rows]

    @property
    def too_long(self) -> bool:
        """Whether enough events have expired to delete them."""
        return self.next - self.oldest > self._limit * (1 + _SLACK)

    def delete_expired(self) -> None:
        """Deletes expired events within the caller's transaction; call `confirm_deletion` after the commit."""
        old = read_clock() - round(self._seconds * 1e6)
        self._connection.execute("DELETE FROM log WHERE number + events <= ?", (self.next - self._limit,))
        # Senders have clocks of their own: what is behind an event that is kept is kept as well.
        row = self._connection.execute(_FIRST_SINCE, (old,)).fetchone()
        self._connection.execute("DELETE FROM log WHERE number < ?", (self.next if row is None else row[0],))

    def confirm_deletion(self) -> None:
        """Records that the deletion is committed."""
        self.oldest = self._load_oldest()
