"""The open connections of a server by the addresses of their peers, and who gets the last places.

One client cannot hold all places: an address has at most `per_address` of them. Programs of this machine, among them
the other servers of the suite, are not bound by that, and find a place also where others hold all: that of a
connection that asks nothing, of the address that holds most.
"""

import random
from collections import Counter
from collections.abc import Collection, Mapping

from shared.domain.errors import Unavailable
from shared.net.addresses import address_key, is_own_host
from shared.net.connection import Connection

# A connection that has asked something so recently is at work; one that is about to ask does so within moments.
_SILENT_SECONDS = 5.0
_SPEECHLESS_SECONDS = 0.25
# Looking for connections that ask nothing costs a walk through those of one address: it is done so often, and makes
# room for so many, that a crowd at the door neither holds the event loop nor keeps the suite out.
_SEARCH_SECONDS = 0.05
_ROOM = 8

_SHOWN_ADDRESSES = 20


def busiest_addresses(connections: Mapping[str, int]) -> dict[str, int]:
    """Returns the addresses with the most connections, at most twenty."""
    return dict(Counter(connections).most_common(_SHOWN_ADDRESSES))


class Census:
    """Counts connections; `total` is the bound on all of them."""

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._addresses: dict[Connection, str] = {}
        self._held: dict[str, set[Connection]] = {}
        self._next_search = 0.0

    @property
    def connections(self) -> Collection[Connection]:
        """Those that were admitted and are not gone."""
        return self._addresses.keys()

    def describe_addresses(self) -> dict[str, int]:
        """Returns the addresses with the most connections."""
        return busiest_addresses({address: len(held) for address, held in list(self._held.items())})

    def admit(self, connection: Connection, now: float) -> Unavailable | None:
        """Counts a new connection, or returns why there is no place for it."""
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
        """A connection is gone."""
        address = self._addresses.pop(connection, None)
        if address is not None:
            held = self._held[address]
            held.discard(connection)
            if not held:
                del self._held[address]

    def _make_room(self, held: int, own_host: bool, now: float) -> bool:
        """Whether silent connections of the address with most of them could be ended for a newcomer.

        The newcomer's address holds `held`: it has to hold fewer itself, or to be this machine's.
        """
        if now < self._next_search:
            return False
        self._next_search = now + _SEARCH_SECONDS
        most = max(self._held.values(), key=len)
        if len(most) <= held and not own_host:
            return False
        silent = [
            one for one in most if one.silence(now) >= (_SILENT_SECONDS if one.has_asked else _SPEECHLESS_SECONDS)
        ]
        wanted = _ROOM if own_host else min(_ROOM, len(most) - held)
        # By chance: any order would find the suite's own connections first, or those of whoever has just come.
        victims = random.sample(silent, min(wanted, len(silent)))
        for victim in victims:
            self.release(victim)
            victim.evict(
                Unavailable("the server needs the place of a connection that asks nothing", hint="connect again later")
            )
        return bool(victims)
