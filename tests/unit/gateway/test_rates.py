"""Whom a request is counted to, and where counts are kept."""

import socket

import pytest
from limits import parse
from structlog.testing import capture_logs

from services.gateway.middleware.rate_limits import RequestCounter, client_of
from shared.domain.errors import StartupError


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_network(address: str, client: str) -> None:
    assert client_of((address, 1)) == client


def test_a_client_without_an_address_is_unknown() -> None:
    assert client_of(None) == "unknown"


def test_password_of_redis_is_not_shown() -> None:
    with pytest.raises(StartupError) as refused:
        RequestCounter("nothing://user:hunter2@host")
    assert "REDIS_URL" in refused.value.message
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"


async def test_without_its_redis_a_gateway_counts_for_itself() -> None:
    limit = parse("2/minute")
    # A bound port on which nobody listens.
    with socket.socket() as nobody, capture_logs() as log:
        nobody.bind(("127.0.0.1", 0))
        counter = RequestCounter(f"redis://127.0.0.1:{nobody.getsockname()[1]}")
        assert [await counter.count(limit, "shop", "read") for _ in range(3)] == [True, True, False]
        assert await counter.count(limit, "rival", "read")
        assert (await counter.read_window(limit, "rival", "read")).remaining == 1
    assert [entry["event"] for entry in log] == ["rate_limit_store_unavailable"]
