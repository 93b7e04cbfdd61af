"""How a load test goes: how many orders, for how long, how fast, over which connections."""

import socket

from msgspec import Struct


class Plan(Struct, frozen=True):
    """At least one of `orders` and `seconds` is set; what comes first ends the run."""

    connections: int
    pipeline: int
    """Orders in flight on each connection."""
    orders: int | None = None
    seconds: float | None = None
    rate: float | None = None
    """Orders a second that fall due whatever the server does (open loop); None sends as answers come."""
    families: tuple[socket.AddressFamily, ...] = (socket.AF_UNSPEC,)
    """Address families that connections take in turn."""
