"""The headers that say who sends a request: once each, and well-formed."""

import pytest

from services.gateway.http.problems import BadRequest
from services.gateway.identity.headers import IdentityHeaders, read_identity_headers, session_cookie_name

COOKIE = session_cookie_name(encrypted=False).encode()
Headers = list[tuple[bytes, bytes]]


def test_each_header_is_read() -> None:
    sent = [
        (b"host", b"Shop.Example:5000"),
        (b"authorization", b"Bearer x"),
        (b"x-tenant-id", b"shop-1"),
        (b"cookie", b"theme=dark; comanda_session=a.b.c.d; other=comanda_session"),
    ]
    assert read_identity_headers(sent, COOKIE) == IdentityHeaders("Bearer x", "a.b.c.d", "shop-1", "shop.example")


def test_other_cookies_are_none_of_its_business() -> None:
    sent: Headers = [
        (b"cookie", b"x_comanda_session=a; comanda_session2=b; caf\xe9=1"),
        (b"cookie", b"y=comanda_session"),
    ]
    assert read_identity_headers(sent, COOKIE) == IdentityHeaders()


def test_with_tls_only_the_cookie_of_this_host_counts() -> None:
    name = session_cookie_name(encrypted=True).encode()
    assert read_identity_headers([(b"cookie", b"comanda_session=a")], name).session is None
    assert read_identity_headers([(b"cookie", b"__Host-comanda_session=a")], name).session == "a"


@pytest.mark.parametrize(
    "sent",
    [
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"x-tenant-id", b"a"), (b"x-tenant-id", b"a")],
        [(b"host", b"a"), (b"host", b"b")],
        [(b"cookie", b"comanda_session=a; comanda_session=b")],
        [(b"cookie", b"comanda_session=a"), (b"cookie", b"x=1; comanda_session=a")],
        [(b"x-tenant-id", b"")],
        [(b"x-tenant-id", b"..")],
        [(b"x-tenant-id", b".")],
        [(b"x-tenant-id", b"A/b")],
        [(b"x-tenant-id", b"a" * 41)],
        [(b"x-tenant-id", b"MAIN")],
        [(b"x-tenant-id", b"main, shop")],
        [(b"x-tenant-id", b"%6dain")],
        [(b"x-tenant-id", "mañana".encode())],
        [(b"x-tenant-id", "\uff4dain".encode())],
        [(b"x-tenant-id", b"main\xa0")],
        [(b"cookie", b"comanda_session=")],
        [(b"cookie", b"comanda_session=\xff")],
        [(b"cookie", b'comanda_session="a"')],
        [(b"cookie", b"comanda_session=" + b"a" * 513)],
    ],
)
def test_what_is_sent_twice_or_odd_is_refused(sent: Headers) -> None:
    with pytest.raises(BadRequest):
        read_identity_headers(sent, COOKIE)
