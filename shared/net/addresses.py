"""Addresses of peers as text."""

import ipaddress


def plain_address(address: str) -> str:
    """Returns an address without its zone; an IPv4 address that was mapped into IPv6 as it is. Any other text stays."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip)
