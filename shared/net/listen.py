"""Listening sockets: both address families on one port, and addresses by name."""

import errno
import socket
import sys


def listen(host: str, port: int, *, backlog: int = 1024) -> list[socket.socket]:
    """Sockets that listen on every address of `host`; raises OSError as the system gives it.

    `::` serves IPv4 and IPv6 on one port, or IPv4 alone on a machine without IPv6. With port 0 all
    sockets share the port that the system chose for the first.
    """
    if host == "::":
        try:
            return [_listen(socket.AF_INET6, ("::", port), backlog, dualstack=True)]
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            host = "0.0.0.0"
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((family, address[0]) for family, _, _, _, address in found)
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            sockets.append(_listen(family, (str(address), port), backlog))
            port = sockets[0].getsockname()[1]
    except OSError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _listen(
    family: socket.AddressFamily, address: tuple[str, int], backlog: int, *, dualstack: bool = False
) -> socket.socket:
    listener = socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=dualstack)
    listener.setblocking(False)
    # Accepted sockets inherit these: a peer that vanished is noticed even where nothing is sent.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    return listener
