"""Addresses of peers: as text, and as far as connections and requests are counted by them."""

import ipaddress
from collections.abc import Callable

UNKNOWN = "unknown"
"""Stands for a peer without an address."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain_address(address: str) -> str:
    """Returns an address without its zone; an IPv4 address that was mapped into IPv6 as it is. Any other text stays."""
    ip = _parse(address)
    return address if ip is None else str(ip)


def address_key(host: str | None) -> str:
    """Returns whom a peer counts as: its IPv4 address, or the /64 network of an IPv6 one, which is one customer's."""
    ip = _parse(host)
    if ip is None:
        return UNKNOWN
    return str(ip) if isinstance(ip, ipaddress.IPv4Address) else str(ipaddress.ip_network((ip, 64), strict=False))


def is_own_host(host: str | None) -> bool:
    """Whether a peer is on this machine."""
    ip = _parse(host)
    return ip is not None and ip.is_loopback


def trusted_proxies(named: str) -> Callable[[str | None], bool]:
    """Returns whether a peer is among `named`: addresses and networks with commas between them, or `*` for all."""
    words = [word.strip() for word in named.split(",") if word.strip()]
    networks: list[_Network] = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            # The HTTP server compares such a name with the peer's as text; no TCP peer has one.
            continue

    def is_trusted(host: str | None) -> bool:
        ip = _parse(host)
        return "*" in words or (ip is not None and any(ip in network for network in networks))

    return is_trusted


def _parse(host: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
