"""Telling many connections the same. Nobody is waited for: who reads too slowly gets a gap."""

from shared.net.connection import Connection
from shared.wire.replies import line


class Fanout:
    """Sends events; `unread_bytes` bounds what waits for each connection."""

    def __init__(self, unread_bytes: int) -> None:
        self._unread_bytes = unread_bytes
        self._missed: dict[Connection, int] = {}

    def tell(self, connection: Connection, text: bytes, events: int = 1) -> None:
        """Sends `text`, which holds so many events, or counts them as missed while too much waits already."""
        missed = self._missed.get(connection, 0)
        if connection.unread_bytes > (self._unread_bytes // 2 if missed else self._unread_bytes):
            self._missed[connection] = missed + events
            return
        if missed:
            del self._missed[connection]
            connection.send(line({"event": "gap", "missed": missed}))
        connection.send(text)

    def forget(self, connection: Connection) -> None:
        """The connection is told nothing any more."""
        self._missed.pop(connection, None)
