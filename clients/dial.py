"""Opening a connection: every address of a name is tried, the first one that greets wins (after RFC 8305)."""

import asyncio
import itertools
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, cast

from clients.errors import Unreachable
from shared.runtime.programs import run_command

_NEXT_ADDRESS_SECONDS = 0.25
_ADDRESS_SECONDS = 3.0


class Greeted(Protocol):
    """The asyncio protocol of a connection that begins with a greeting from the server."""

    hello: "asyncio.Future[None]"
    """Done with the greeting; fails with Unreachable when the connection ends without one."""

    def abort(self) -> None:
        """Ends the connection without sending what waits."""


C = TypeVar("C", bound=Greeted)


async def dial(
    made: Callable[[], C],
    host: str,
    port: int,
    *,
    family: socket.AddressFamily = socket.AF_UNSPEC,
    tls: ssl.SSLContext | None = None,
) -> C:
    """A greeted connection to `host`, over IPv6 and IPv4 alike unless `family` says which.

    The next address is tried when one has failed, or has not greeted within a quarter of a second; three
    seconds later it is given up. Raises Unreachable saying what became of each address.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except OSError as error:
        over = {socket.AF_INET: " for IPv4", socket.AF_INET6: " for IPv6"}.get(family, "")
        raise Unreachable(
            f"the name {host} is not known{over}: {error.strerror}",
            hint="check --host; an address such as ::1 or 127.0.0.1 will do",
        ) from error
    addresses = iter(_alternating(str(entry[4][0]) for entry in found))
    secured = None if tls is None else (tls, host)
    reasons: list[str] = []
    tries: set[asyncio.Task[C]] = set()
    try:
        while True:
            address = next(addresses, None)
            if address is not None:
                tries.add(asyncio.create_task(_greeted(made, address, port, secured)))
            elif not tries:
                break
            patience = None if address is None else _NEXT_ADDRESS_SECONDS
            done, tries = await asyncio.wait(tries, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    tries |= done - {attempt}
                    return attempt.result()
                if not isinstance(failure, Unreachable):
                    raise failure
                reasons.append(failure.message)
    finally:
        for attempt in tries:
            _discard(attempt)
    raise Unreachable(
        f"no server answers at {host} port {port} ({'; '.join(reasons)})",
        hint=f"start one: {run_command()}; or say where it is with --host and --port",
    )


def _alternating(addresses: Iterable[str]) -> list[str]:
    """Addresses once each, the families in turn, beginning with the one that the resolver prefers."""
    unique = list(dict.fromkeys(addresses))
    if not unique:
        return []
    first = ":" in unique[0]
    families = ([one for one in unique if (":" in one) is first], [one for one in unique if (":" in one) is not first])
    return [one for pair in itertools.zip_longest(*families) for one in pair if one is not None]


_Secured = tuple[ssl.SSLContext, str] | None


async def _greeted(made: Callable[[], C], address: str, port: int, secured: _Secured) -> C:
    connection: C | None = None
    try:
        async with asyncio.timeout(_ADDRESS_SECONDS):
            connection = await _opened(made, address, port, secured)
            await connection.hello
    except BaseException as error:
        if connection is not None:
            connection.abort()
        match error:
            case TimeoutError():
                raise Unreachable(f"{address}: no answer") from None
            case ssl.SSLError():
                reason = getattr(error, "verify_message", "") or error.reason or error
                raise Unreachable(f"{address}: TLS: {reason}") from error
            case OSError():
                raise Unreachable(f"{address}: {os.strerror(error.errno) if error.errno else error}") from error
            case Unreachable():
                raise Unreachable(f"{address}: {error.message}") from error
        raise
    return connection


async def _opened(made: Callable[[], C], address: str, port: int, secured: _Secured) -> C:
    connection = made()
    tls, name = secured or (None, None)
    await asyncio.get_running_loop().create_connection(
        lambda: cast(asyncio.Protocol, connection), address, port, ssl=tls, server_hostname=name
    )
    return connection


def _discard(attempt: "asyncio.Task[C]") -> None:
    """Ends an attempt that is not needed any more, whether it is still under way or just succeeded."""
    if not attempt.cancel() and attempt.exception() is None:
        attempt.result().abort()
