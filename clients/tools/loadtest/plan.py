"""The plan of a load test: orders, duration, rate, and connections."""

import socket

from msgspec import Struct


class Plan(Struct, frozen=True):
    """At least one of `orders` and `seconds` is set; the run ends at the first one that is reached."""

    connections: int
    pipeline: int
    """The maximum number of orders in flight on each connection."""
    orders: int | None = None
    seconds: float | None = None
    rate: float | None = None
    """Orders that are due each second, independent of the server (open loop); with None, answers set the rate."""
    families: tuple[socket.AddressFamily, ...] = (socket.AF_UNSPEC,)
    """The address families of the connections, in turn."""
