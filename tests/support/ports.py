"""Ports that stay a test's own, even while nothing listens on them."""

import socket
import weakref


def hold_port(owner: object) -> int:
    """A port of both address families that the system gives to nobody else while `owner` lives.

    A bound socket that does not listen takes the port out of the choice for port 0 and for outgoing
    connections, and leaves it to whoever names it with SO_REUSEADDR, as servers do. Without it, the
    port of a server that is just down may become the port of another test's server.
    """
    if socket.has_dualstack_ipv6():
        holder = socket.socket(socket.AF_INET6)
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    else:
        holder = socket.socket(socket.AF_INET)
    weakref.finalize(owner, holder.close)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("", 0))
    port: int = holder.getsockname()[1]
    return port
