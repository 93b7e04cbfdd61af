"""What a client shows to be let in, and whom it trusts."""

import ssl
from typing import NamedTuple

from shared.net.tls import client_tls

__all__ = ["OPEN", "Access", "Target", "client_tls"]


class Access(NamedTuple):
    """The token of the internal ports, and TLS (`client_tls` makes it from a file of certificates)."""

    token: str | None = None
    tls: ssl.SSLContext | None = None


OPEN = Access()
"""Neither."""


class Target(NamedTuple):
    """Where to connect to, and what lets in there."""

    host: str
    port: int
    access: Access = OPEN
