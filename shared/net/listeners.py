"""Listening sockets for both address families, and checks of their exposure."""

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence

from shared.domain.errors import StartupError
from shared.net.addresses import is_own_host


def open_listeners(host: str, port: int, setting: str, *, backlog: int = 1024) -> list[socket.socket]:
    """Returns sockets that listen on all addresses of `host`. Raises StartupError; `setting` names that of the port.

    `::` serves IPv4 and IPv6 on one port, or only IPv4 on a machine without IPv6. With port 0 all sockets share the
    port that the system chose for the first.
    """
    try:
        return _open_sockets(host, port, backlog)
    except OSError as error:
        raise _bind_error(error, host, port, setting) from error


def check_exposure(listeners: Sequence[socket.socket], setting: str, *, guarded: bool) -> None:
    """Raises StartupError if other machines can reach an internal port, unless it is `guarded`."""
    for listener in listeners:
        address = listener.getsockname()[0]
        if not guarded and not ipaddress.ip_address(address).is_loopback:
            for opened in listeners:
                opened.close()
            raise StartupError(
                f"{setting} {address} is reachable from other machines without authentication",
                hint="set SERVICE_TOKEN, or OPEN_INTERNAL_PORTS=true if the network restricts access",
            )


def is_open_to_others(listeners: Sequence[socket.socket]) -> bool:
    """Whether other machines can reach any of the listeners."""
    return not all(is_own_host(listener.getsockname()[0]) for listener in listeners)


def _open_listener(
    family: socket.AddressFamily, address: tuple[str, int], backlog: int, *, dualstack: bool = False
) -> socket.socket:
    listener = socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=dualstack)
    listener.setblocking(False)
    # Accepted sockets inherit these options, which detect a vanished peer even if the server sends nothing.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    return listener


def _open_sockets(host: str, port: int, backlog: int) -> list[socket.socket]:
    if host == "::":
        try:
            return [_open_listener(socket.AF_INET6, ("::", port), backlog, dualstack=True)]
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            host = "0.0.0.0"
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((family, address[0]) for family, _, _, _, address in found)
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            sockets.append(_open_listener(family, (str(address), port), backlog))
            port = sockets[0].getsockname()[1]
    except OSError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _bind_error(error: OSError, host: str, port: int, setting: str) -> StartupError:
    """Returns the error for a port that cannot be opened; `setting` is the setting that the port comes from."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return StartupError(
                f"{where} is in use by another program", hint=f"stop that program, or choose another {setting}"
            )
        case errno.EACCES:
            return StartupError(f"{where} is not permitted for this user", hint=f"choose {setting} above 1023")
        case _:
            return StartupError(f"cannot listen on {where}: {error.strerror or error}", hint="check the host's name")
