"""Credentials and addresses of servers: token, TLS context, host and port."""

import ssl
from typing import NamedTuple

from shared.net.tls import client_tls

__all__ = ["OPEN", "Access", "Target", "client_tls"]


class Access(NamedTuple):
    """Credentials of a client: the token of the port, and TLS (`client_tls` makes it from certificates).

    The token is `SERVICE_TOKEN`, or for the intake `INTAKE_READ_TOKEN`.
    """

    token: str | None = None
    tls: ssl.SSLContext | None = None


OPEN = Access()
"""No token and no TLS."""


class Target(NamedTuple):
    """The address of a server and the credentials for it."""

    host: str
    port: int
    access: Access = OPEN
