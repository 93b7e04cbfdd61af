"""The read model in one file: each change is one transaction together with the events that it causes."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from services.distributed.event_log import EventLog, Logged
from services.distributed.events import Entry
from services.distributed.nonces import StoredNonces
from services.distributed.notifications import Notifications
from services.distributed.order_totals import OrderTotals
from services.distributed.purchase_totals import PurchaseTotals
from services.distributed.ranking import Ranking
from shared.domain.errors import StartupError
from shared.runtime.file_lock import FileLock
from shared.stores.sqlite.database import Writer, migrate, never_wait, translate_errors

_LAST_GAP = "records_gap"

T = TypeVar("T")

Commit = Callable[[Sequence[Entry]], None]
"""Adds events to the log within the transaction; called once, at its end."""


class ReadModel:
    """The service's file. Raises StartupError if another server has it open, and StoreError."""

    def __init__(
        self,
        path: Path,
        *,
        max_events: int,
        event_seconds: float,
        max_notifications: int,
        keep_notifications_days: float = 0.0,
        max_products: int = 100_000,
    ) -> None:
        self._path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        if not self._lock.try_acquire():
            raise StartupError(f"another server is using {path}", hint="stop it, or point DATA_DIR at another folder")
        self._writer = Writer(path)
        connection = self._writer.connection
        migrate(connection, path, "distributed")
        with translate_errors(path):
            self.log = EventLog(connection, limit=max_events, seconds=event_seconds)
            self.nonces = StoredNonces(connection)
        self.orders = OrderTotals(connection, max_products=max_products)
        with self._writer.transaction(0):
            self.orders.fold_products()
        never_wait(connection)
        self.ranking = Ranking(connection)
        self.purchases = PurchaseTotals(connection)
        self.notifications = Notifications(connection, limit=max_notifications, keep_days=keep_notifications_days)
        self.told: Callable[[Sequence[Logged]], None] = lambda _: None
        """Called with the events of each transaction once it is committed."""

    @contextlib.contextmanager
    def transaction(self, rows: int) -> Iterator[Commit]:
        """Opens a transaction; its commit blocks for one fsync. Raises StoreError, and then nothing has changed."""
        logged: list[Logged] = []
        trim = self.log.too_long
        with self._writer.transaction(rows):
            yield lambda entries: logged.extend(self.log.append_entries(entries))
            if trim:
                self.log.delete_expired()
        self.log.confirm_append(logged)
        if trim:
            self.log.confirm_deletion()
        self.told(logged)

    def read_part(self, read: Callable[[], T]) -> T:
        """Returns the result of `read`, called with a part of the read model. Raises StoreError."""
        with translate_errors(self._path):
            return read()

    def load_position(self, source: str) -> str | None:
        """Returns the position up to which a source has been read."""
        with translate_errors(self._path):
            row = self._writer.connection.execute("SELECT value FROM meta WHERE name = ?", (source,)).fetchone()
        return None if row is None else str(row[0])

    def save_position(self, source: str, position: str) -> None:
        """Stores the position of a source within the transaction."""
        self._writer.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (source, position))

    def save_last_gap(self, time: str) -> None:
        """Stores within the transaction when changes of records were missing, so that the records were read again."""
        self.save_position(_LAST_GAP, time)

    def load_last_gap(self) -> str | None:
        """Returns when changes of records were last missing; None if they never were. Raises StoreError."""
        return self.load_position(_LAST_GAP)

    def delete_expired(self) -> bool:
        """Deletes expired rows, some at a time; returns whether there are more. Raises StoreError."""
        with self._writer.transaction(1):
            self.log.delete_expired()
            more = self.orders.delete_expired()
            more |= self.notifications.delete_expired()
        self.log.confirm_deletion()
        return more

    def close(self) -> None:
        """Releases the file."""
        self._writer.close()
        self._lock.close()
