"""The connections that may read and change what others ordered: those that sent the token `INTAKE_READ_TOKEN`.

The port is open to all who order. Ids cannot replace the token: they contain a time and a number that counts up
(`shared/domain/ids.py`), so a client that places two orders can compute the ids of those in between.
"""

import hmac

from shared.domain.errors import Unauthorized
from shared.net.connection import Connection

_HINT = 'send {"action":"authenticate","token":"…"} first; it is the setting INTAKE_READ_TOKEN'


class ReaderAuthentication:
    """Knows which connections have sent `token`; without a token, all may do everything."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()
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

    def forget(self, connection: Connection) -> None:
        """Drops a connection that is closed."""
        self._readers.discard(connection)
