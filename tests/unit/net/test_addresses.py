"""Addresses of peers as text."""

import pytest

from shared.net.addresses import plain_address


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_one_peer_has_one_address(address: str, plain: str) -> None:
    assert plain_address(address) == plain
