"""The connections that may read and change what others ordered: those that sent the token `INTAKE_READ_TOKEN`.

Without the setting these are all, except that strangers may not change orders that fulfil purchases of a shop.

The port is open to all who order. Ids cannot replace the token: they contain a time and a number that counts up
(`shared/domain/ids.py`), so a client that places two orders can compute the ids of those in between.
"""

import hmac

from shared.domain.errors import Unauthorized
from shared.net.addresses import is_own_host
from shared.net.connection import Connection

_HINT = 'send {"action":"authenticate","token":"…"} first; it is the setting INTAKE_READ_TOKEN'


class ReaderAuthentication:
    """Knows which connections have sent `token`.

    Without a token all may read and change orders, but those of purchases only programs of this machine, or all if the
    network keeps others out (`is_network_closed`).
    """

    def __init__(self, token: str | None, *, is_network_closed: bool) -> None:
        self._token = None if token is None else token.encode()
        self._is_network_closed = is_network_closed
        self._readers: set[Connection] = set()

    def authenticate(self, connection: Connection, token: str) -> None:
        """Lets a connection read orders. Raises Unauthorized for a wrong token, and ends the connection."""
        if self._token is None:
            return
        if not hmac.compare_digest(token.encode(), self._token):
            # Every guess costs a connection.
            connection.finish()
            raise Unauthorized("the token is wrong", hint=_HINT)
        self._readers.add(connection)

    def check(self, connection: Connection) -> None:
        """Raises Unauthorized if the connection may only place orders."""
        if self._token is not None and connection not in self._readers:
            raise Unauthorized("this needs a token; placing orders does not", hint=_HINT)

    def is_stranger(self, connection: Connection) -> bool:
        """Whether a connection that passes `check` may still not change the orders of purchases."""
        return self._token is None and not self._is_network_closed and not is_own_host(connection.peer_address)

    def forget(self, connection: Connection) -> None:
        """Drops a connection that is closed."""
        self._readers.discard(connection)
