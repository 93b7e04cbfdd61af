"""Counts the open connections of a server by address, and decides which ones get the last places.

An address has at most `per_address` connections, so that one client cannot take all places. Programs on this machine,
among them the other servers, are exempt. If the server is full, they get the place of an idle connection of the address
with the most connections.
"""

import random
from collections import Counter
from collections.abc import Collection, Mapping

from shared.domain.errors import Unavailable
from shared.net.addresses import address_key, is_own_host
from shared.net.connection import Connection

# After a recent request a connection counts as active. A new one sends its first request within moments, and a client
# that only observes events can reconnect.
_IDLE_SECONDS = 5.0
_PASSIVE_SECONDS = 0.25
# A search for idle connections visits all of one address. Its interval and the number of evictions are chosen so that a
# flood of connections neither blocks the event loop nor keeps the suite's own programs out.
_SEARCH_SECONDS = 0.05
_EVICTIONS = 8

_LISTED_ADDRESSES = 20


def busiest_addresses(connections: Mapping[str, int]) -> dict[str, int]:
    """Returns the connections of the addresses with the most of them, at most twenty."""
    return dict(Counter(connections).most_common(_LISTED_ADDRESSES))


class Census:
    """Counts connections; `total` is the limit for all addresses together."""

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._addresses: dict[Connection, str] = {}
        self._held: dict[str, set[Connection]] = {}
        self._next_search = 0.0

    @property
    def connections(self) -> Collection[Connection]:
        """The connections that are admitted and still open."""
        return self._addresses.keys()

    def describe_addresses(self) -> dict[str, int]:
        """Returns the connections of the addresses with the most of them."""
        return busiest_addresses({address: len(held) for address, held in list(self._held.items())})

    def admit(self, connection: Connection, now: float) -> Unavailable | None:
        """Counts a new connection. Returns an error instead if there is no place for it."""
        peer = connection.peer_address
        address = address_key(peer)
        held = self._held.get(address, ())
        own_host = is_own_host(peer)
        if len(held) >= self._per_address and not own_host:
            return Unavailable(
                f"{address} has {self._per_address} connections already",
                hint="close some; the limit is the setting MAX_CONNECTIONS_PER_ADDRESS",
            )
        if len(self._addresses) >= self._total and not self._make_room(len(held), own_host, now):
            return Unavailable(
                f"the server has {self._total} connections already",
                hint="close idle connections, or raise MAX_CONNECTIONS and the limit on open files",
            )
        self._addresses[connection] = address
        self._held.setdefault(address, set()).add(connection)
        return None

    def release(self, connection: Connection) -> None:
        """Removes a closed connection."""
        address = self._addresses.pop(connection, None)
        if address is not None:
            held = self._held[address]
            held.discard(connection)
            if not held:
                del self._held[address]

    def _make_room(self, held: int, own_host: bool, now: float) -> bool:
        """Evicts idle connections of the address with the most of them. Returns whether there were any.

        The new connection's address has `held` connections; it must have fewer than the other, or be on this machine.
        """
        if now < self._next_search:
            return False
        self._next_search = now + _SEARCH_SECONDS
        most = max(self._held.values(), key=len)
        if len(most) <= held and not own_host:
            return False
        idle = [
            one
            for one in most
            if one.state.silence(now) >= (_PASSIVE_SECONDS if one.state.is_passive else _IDLE_SECONDS)
        ]
        wanted = _EVICTIONS if own_host else min(_EVICTIONS, len(most) - held)
        # A random choice: the order of age would prefer the suite's own connections or the newest ones.
        evicted = random.sample(idle, min(wanted, len(idle)))
        for connection in evicted:
            self.release(connection)
            connection.evict(
                Unavailable("the server needs the place of an idle connection", hint="connect again later")
            )
        return bool(evicted)
