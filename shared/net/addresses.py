"""Addresses of peers: as text, and as the keys by which connections and requests are counted."""

import ipaddress
from collections.abc import Callable
from functools import lru_cache

UNKNOWN = "unknown"
"""The key of peers without an address."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=4096)
def plain_address(address: str) -> str:
    """Returns an address without its zone, and an IPv4-mapped one as IPv4. Any other text is returned unchanged."""
    ip = _parse_address(address)
    return address if ip is None else str(ip)


def address_key(host: str | None) -> str:
    """Returns the key of a peer: its IPv4 address, or its /64 network, since that belongs to one customer."""
    ip = _parse_address(host)
    if ip is None:
        return UNKNOWN
    return str(ip) if isinstance(ip, ipaddress.IPv4Address) else str(ipaddress.ip_network((ip, 64), strict=False))


def is_own_host(host: str | None) -> bool:
    """Whether a peer is on this machine."""
    ip = _parse_address(host)
    return ip is not None and ip.is_loopback


def trusted_proxies(named: str) -> Callable[[str | None], bool]:
    """Returns a predicate for peers in `named`: comma-separated addresses and networks, or `*` for all."""
    words = [word.strip() for word in named.split(",") if word.strip()]
    networks: list[_Network] = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            # The HTTP server compares such names as text; TCP peers have none.
            continue

    def is_trusted(host: str | None) -> bool:
        ip = _parse_address(host)
        return "*" in words or (ip is not None and any(ip in network for network in networks))

    return is_trusted


# Every request parses the address of its client several times, 15 microseconds each.
@lru_cache(maxsize=4096)
def _parse_address(host: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
