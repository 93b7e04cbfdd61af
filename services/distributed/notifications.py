"""Notifications of users."""

from collections.abc import Sequence
from typing import Any

from services.distributed.events import PlainEvent
from shared.domain.errors import NotFound
from shared.domain.orders import iso_time
from shared.runtime.clock import read_clock
from shared.stores.ports.records import PAGE_BYTES
from shared.stores.sqlite.database import Connection
from shared.wire.replies import encode_json

_ADD = "INSERT INTO notifications (user_id, message, type, at) VALUES (?, ?, ?, ?)"
_BOUND = """
DELETE FROM notifications WHERE user_id = ?1
AND id <= (SELECT id FROM notifications WHERE user_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"""
_PAGE = """
SELECT id, user_id, message, type, at, read FROM notifications
WHERE id < ?{} ORDER BY id DESC LIMIT ?"""
_OLDEST = "SELECT id, at FROM notifications ORDER BY id LIMIT ?"
# Others wait for this many: some milliseconds.
_REMOVED_AT_ONCE = 1000
_LAST = 2**62


class Notifications:
    """The notifications in the service's file; the newest `limit` of each user are stored.

    With `keep_days` older ones are deleted, read or not.
    """

    def __init__(self, connection: Connection, *, limit: int, keep_days: float) -> None:
        self._connection = connection
        self._limit = limit
        self._keep = round(keep_days * 86_400_000_000)

    def add_notification(self, user: int, message: str, kind: str) -> tuple[int, PlainEvent]:
        """Adds a notification within the caller's transaction; returns its id and its event."""
        now = read_clock()
        number = self._connection.execute(_ADD, (user, message, kind, now)).lastrowid
        self._connection.execute(_BOUND, (user, self._limit))
        members = {"id": number, "user_id": user, "message": message, "type": kind}
        return number, PlainEvent("notifications", "notification.added", now, members, user)

    def delete_expired(self) -> bool:
        """Deletes expired notifications within the caller's transaction; returns whether there may be more."""
        if not self._keep:
            return False
        before = read_clock() - self._keep
        rows = self._connection.execute(_OLDEST, (_REMOVED_AT_ONCE,)).fetchall()
        old = [(number,) for number, at in rows if at < before]
        self._connection.executemany("DELETE FROM notifications WHERE id = ?", old)
        return len(old) == _REMOVED_AT_ONCE

    def load_page(
        self, user: int | None, *, unread: bool, limit: int, before: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Returns the newest ones of a user or of all users, newest first, and the cursor of the next page or None."""
        choice = ("" if user is None else " AND user_id = ?") + (" AND read = 0" if unread else "")
        values = [_LAST if before is None else before, *([] if user is None else [user]), limit + 1]
        rows = self._connection.execute(_PAGE.format(choice), values).fetchall()
        shown: list[dict[str, Any]] = []
        room = PAGE_BYTES
        for number, whose, message, kind, at, read in rows:
            notification = {
                "id": number,
                "user_id": whose,
                "message": message,
                "type": kind,
                "timestamp": iso_time(at),
                "leida": bool(read),
            }
            room -= len(encode_json(notification)) + 1
            if len(shown) == limit or room < 0:
                return shown, shown[-1]["id"]
            shown.append(notification)
        return shown, None

    def count_unread(self, user: int) -> int:
        """Returns the number of a user's unread notifications."""
        statement = "SELECT count(*) FROM notifications WHERE user_id = ? AND read = 0"
        return int(self._connection.execute(statement, (user,)).fetchone()[0])

    def mark_read(self, user: int, numbers: Sequence[int] | None) -> int:
        """Marks notifications of a user as read within the caller's transaction; returns the number that were unread.

        Raises NotFound, with nothing marked, for one that is not this user's.
        """
        if numbers is None:
            update = "UPDATE notifications SET read = 1 WHERE user_id = ? AND read = 0"
            return int(self._connection.execute(update, (user,)).rowcount)
        for number in numbers:
            found = "SELECT 1 FROM notifications WHERE id = ? AND user_id = ?"
            if self._connection.execute(found, (number, user)).fetchone() is None:
                raise NotFound(
                    f"user {user} has no notification {number}", field="ids", hint="take ids of get_notifications"
                )
        update = "UPDATE notifications SET read = 1 WHERE id = ? AND read = 0"
        return sum(self._connection.execute(update, (number,)).rowcount for number in set(numbers))
