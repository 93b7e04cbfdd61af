"""Who gets a place for a connection where there are few."""

from typing import Any

import pytest

from shared.domain.errors import Unavailable
from shared.net.addresses import address_key, is_own_host, trusted_proxies
from shared.net.census import Census

LOOPBACK, IPV6_LOOPBACK = "127.0.0.1", "::1"
CLIENT, OTHER = "192.0.2.1", "192.0.2.2"
LONG_AGO, NOW = 0.0, 1000.0


class Peer:
    """A connection as far as it is counted; `heard` is when it last asked something."""

    def __init__(self, peer: str, heard: float = LONG_AGO) -> None:
        self.peer_address = peer
        self.heard = heard
        self.is_passive = False
        self.state = self
        self.evicted: Unavailable | None = None

    def silence(self, now: float) -> float:
        return now - self.heard

    def evict(self, error: Unavailable) -> None:
        self.evicted = error


def admit(census: Census, peer: str, heard: float = LONG_AGO, now: float = NOW) -> Any:
    connection: Any = Peer(peer, heard)
    connection.refusal = census.admit(connection, now)
    return connection


def fill(census: Census, peer: str, count: int, heard: float = LONG_AGO) -> list[Any]:
    admitted = [admit(census, peer, heard) for _ in range(count)]
    assert all(one.refusal is None for one in admitted)
    return admitted


@pytest.mark.parametrize("peer", [CLIENT, f"::ffff:{CLIENT}", "2001:db8::1", "unknown"])
def test_an_address_has_its_share_and_no_more(peer: str) -> None:
    census = Census(10, 3)
    first = [admit(census, peer) for _ in range(3)]
    refused = admit(census, peer)
    assert "MAX_CONNECTIONS_PER_ADDRESS" in refused.refusal.hint
    assert admit(census, OTHER).refusal is None
    assert admit(census, LOOPBACK).refusal is None
    census.release(first[0])
    assert admit(census, peer).refusal is None
    assert len(census.connections) == 5


def test_one_network_of_ipv6_is_one_client() -> None:
    census = Census(10, 2)
    assert [admit(census, f"2001:db8::{number}").refusal is None for number in range(3)] == [True, True, False]
    assert admit(census, "2001:db8:0:1::1").refusal is None


@pytest.mark.parametrize("holder", [CLIENT, LOOPBACK, IPV6_LOOPBACK])
def test_the_suite_gets_in_where_one_client_holds_every_place(holder: str) -> None:
    census = Census(100, 100)
    watching = fill(census, holder, 100)
    gateway = admit(census, LOOPBACK)
    assert gateway.refusal is None
    evicted = [one for one in watching if one.evicted is not None]
    assert 0 < len(evicted) < 20
    assert len(census.connections) == 101 - len(evicted)


def test_who_has_just_asked_something_keeps_the_place() -> None:
    census = Census(10, 10)
    fill(census, CLIENT, 10, heard=NOW - 0.5)
    assert "MAX_CONNECTIONS " in admit(census, LOOPBACK).refusal.hint


def test_a_connection_that_asks_nothing_or_only_observes_gives_way_after_moments() -> None:
    census = Census(10, 10)
    for one in fill(census, LOOPBACK, 10, heard=NOW):
        one.is_passive = True
    assert admit(census, LOOPBACK, now=NOW + 0.1).refusal is not None
    assert admit(census, LOOPBACK, now=NOW + 0.3).refusal is None


def test_a_client_takes_a_place_of_one_that_holds_more_and_of_no_other() -> None:
    census = Census(10, 9)
    many, few = fill(census, CLIENT, 9), fill(census, OTHER, 1)
    assert admit(census, OTHER).refusal is None
    assert any(one.evicted for one in many)
    assert few[0].evicted is None
    census = Census(4, 9)
    fill(census, CLIENT, 2)
    fill(census, OTHER, 2)
    assert admit(census, OTHER).refusal is not None


def test_a_crowd_at_the_door_is_not_searched_for_each_time() -> None:
    census = Census(100, 100)
    fill(census, LOOPBACK, 100)
    admitted = [admit(census, LOOPBACK, heard=NOW) for _ in range(50)]
    taken = sum(one.refusal is None for one in admitted)
    assert 0 < taken < 20
    assert admit(census, LOOPBACK, now=NOW + 1).refusal is None


@pytest.mark.parametrize(
    ("host", "key", "own"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::1", "::/64", True),
        ("192.0.2.7", "192.0.2.7", False),
        ("fe80::1%eth0", "fe80::/64", False),
        ("[", "unknown", False),
        (None, "unknown", False),
    ],
)
def test_address_of_a_peer(host: str | None, key: str, own: bool) -> None:
    assert (address_key(host), is_own_host(host)) == (key, own)


def test_proxies_are_addresses_and_networks() -> None:
    is_trusted = trusted_proxies("10.0.0.1, 192.0.2.0/24,proxy")
    assert [is_trusted(host) for host in ("10.0.0.1", "::ffff:192.0.2.9", "10.0.0.2", None)] == [
        True,
        True,
        False,
        False,
    ]
    assert trusted_proxies("*")("10.0.0.2")
    assert not trusted_proxies("")("10.0.0.2")
