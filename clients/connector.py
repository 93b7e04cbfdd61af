"""Opens connections: races every address of a name (RFC 8305), and the first server that greets wins."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

import aiohappyeyeballs

from clients.errors import Unreachable
from shared.runtime.programs import run_command


class GreetedConnection(Protocol):
    """The asyncio protocol of a connection on which the server sends a greeting first."""

    hello: "asyncio.Future[None]"
    """The future of the greeting; raises Unreachable when the connection ends without one."""

    def abort(self) -> None:
        """Closes the connection at once, without sending what waits."""


C = TypeVar("C", bound=GreetedConnection)


async def connect_to_server(
    make_connection: Callable[[], C],
    host: str,
    port: int,
    *,
    family: socket.AddressFamily = socket.AF_UNSPEC,
    tls: ssl.SSLContext | None = None,
    next_address_seconds: float = 0.25,
    address_seconds: float = 3.0,
) -> C:
    """Returns a greeted connection to `host`, over IPv6 or IPv4 unless `family` names one.

    Tries the next address when one has failed or has not greeted within `next_address_seconds`. An address fails after
    `address_seconds`. Raises Unreachable with the failure of each address.
    """
    addresses = await _resolve_host(host, port, family)
    attempts = _Attempts(make_connection, host, tls, address_seconds)
    winner: socket.socket | None = None
    try:
        winner = await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=next_address_seconds,
            loop=cast(asyncio.AbstractEventLoop, attempts),
        )
        return attempts.connections[winner]
    except OSError as error:
        reasons = attempts.failures or [error.strerror or str(error)]
        raise Unreachable(
            f"no server answers at {host} port {port} ({'; '.join(reasons)})",
            hint=f"start one: {run_command()}; or say where it is with --host and --port",
        ) from error
    finally:
        for other, connection in attempts.connections.items():
            if other is not winner:
                connection.abort()


async def _resolve_host(host: str, port: int, family: socket.AddressFamily) -> list[aiohappyeyeballs.AddrInfoType]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except OSError as error:
        over = {socket.AF_INET: " for IPv4", socket.AF_INET6: " for IPv6"}.get(family, "")
        raise Unreachable(
            f"the name {host} is not known{over}: {error.strerror}",
            hint="check --host; an address such as ::1 or 127.0.0.1 will do",
        ) from error
    return cast(list[aiohappyeyeballs.AddrInfoType], list(dict.fromkeys(found)))


class _Attempts(Generic[C]):
    """The event loop as the race of addresses sees it: a socket counts as connected after the server's greeting.

    If TCP connections alone counted, an address could win on which a proxy or another program accepts them.
    """

    def __init__(
        self, make_connection: Callable[[], C], host: str, tls: ssl.SSLContext | None, address_seconds: float
    ) -> None:
        self._make_connection = make_connection
        self._tls = tls
        self._address_seconds = address_seconds
        self._name = host if tls is not None else None
        self.connections: dict[socket.socket, C] = {}
        """Greeted connections: the winner, and any that were greeted at the same moment."""
        self.failures: list[str] = []

    async def sock_connect(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Connects to one address and waits for the greeting. Raises OSError."""
        connection = self._make_connection()
        try:
            async with asyncio.timeout(self._address_seconds):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sock, address)
                await loop.create_connection(
                    lambda: cast(asyncio.Protocol, connection), sock=sock, ssl=self._tls, server_hostname=self._name
                )
                await connection.hello
        except BaseException as error:
            connection.abort()
            if isinstance(error, Exception):
                self.failures.append(f"{address[0]}: {_describe_failure(error)}")
                # aiohappyeyeballs handles no other errors.
                raise OSError(self.failures[-1]) from error
            raise
        self.connections[sock] = connection


def _describe_failure(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer"
        case ssl.SSLError():
            return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
        case OSError():
            return os.strerror(error.errno) if error.errno else str(error)
        case Unreachable():
            return error.message
        case _:
            return repr(error)
