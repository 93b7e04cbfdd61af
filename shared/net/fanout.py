"""Sends events to many connections. A connection that reads too slowly gets a gap instead of blocking the others."""

from shared.net.connection import Connection
from shared.wire.replies import encode_line


class Fanout:
    """Sends events; at most `unread_bytes` are buffered for each connection."""

    def __init__(self, unread_bytes: int) -> None:
        self._unread_bytes = unread_bytes
        self._missed: dict[Connection, int] = {}

    def send_events(self, connection: Connection, text: bytes, events: int = 1) -> None:
        """Sends `text` with this number of events, or counts them as missed while the buffer is full."""
        missed = self._missed.get(connection, 0)
        if connection.unread_bytes > (self._unread_bytes // 2 if missed else self._unread_bytes):
            self._missed[connection] = missed + events
            return
        if missed:
            del self._missed[connection]
            connection.send(encode_line({"event": "gap", "missed": missed}))
        connection.send(text)

    def forget_connection(self, connection: Connection) -> None:
        """Forgets the missed events of a connection that gets no more events."""
        self._missed.pop(connection, None)
