"""The headers of a request that say who sends it and for which tenant, each at most once."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from services.gateway.http.problems import BadRequest
from shared.domain.errors import InvalidParams
from shared.domain.tenants import check_tenant_name

TENANT_HEADER = b"x-tenant-id"
_SESSION_COOKIE = "comanda_session"
_SINGLE = {b"authorization": "Authorization", TENANT_HEADER: "X-Tenant-Id", b"host": "Host"}
_SESSION_TOKEN = re.compile(rb"[A-Za-z0-9._~-]{1,512}")


class IdentityHeaders(NamedTuple):
    """Values of the headers; None stands for a header that was not sent."""

    authorization: str | None = None
    """What was sent, of any form: the value is for one reader only, which refuses it like any other invalid token."""
    session: str | None = None
    """Value of the session cookie."""
    tenant: str | None = None
    host: str | None = None
    """Host name in lower case, without a port."""


def session_cookie_name(*, encrypted: bool) -> str:
    """Returns the name of the session cookie. With TLS, browsers accept it from this host over TLS only."""
    return f"__Host-{_SESSION_COOKIE}" if encrypted else _SESSION_COOKIE


def read_identity_headers(headers: Iterable[tuple[bytes, bytes]], cookie: bytes) -> IdentityHeaders:
    """Returns the headers; `cookie` is the name of the session cookie.

    Raises BadRequest for a header that was sent twice or is malformed: a proxy in front might read the other one.
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _SINGLE:
            if name in found:
                raise _refuse_repetition(_SINGLE[name])
            found[name] = value
        elif name == b"cookie" and cookie in value:
            for sent in find_cookies(value, cookie):
                if cookie in found:
                    raise _refuse_repetition("Cookie")
                found[cookie] = sent
    authorization, tenant, host = found.get(b"authorization"), found.get(TENANT_HEADER), found.get(b"host")
    return IdentityHeaders(
        None if authorization is None else authorization.decode("latin-1"),
        _read_session(found.get(cookie)),
        None if tenant is None else _read_tenant(tenant),
        None if host is None else _read_host(host),
    )


def has_session_cookie(headers: Iterable[tuple[bytes, bytes]], *, encrypted: bool) -> bool:
    """Whether a request has a session cookie, whether its session lives or not."""
    cookie = session_cookie_name(encrypted=encrypted).encode()
    return any(name == b"cookie" and find_cookies(value, cookie) for name, value in headers)


def find_cookies(header: bytes, name: bytes) -> list[bytes]:
    """Returns the values of a cookie in a header `Cookie`."""
    pairs = (pair.strip().partition(b"=") for pair in header.split(b";"))
    return [value for key, _, value in pairs if key == name]


def _read_session(value: bytes | None) -> str | None:
    if value is None:
        return None
    if _SESSION_TOKEN.fullmatch(value) is None:
        raise BadRequest("the session cookie is malformed", field="Cookie", hint="delete the cookie and sign in again")
    return value.decode("ascii")


def _read_tenant(value: bytes) -> str:
    try:
        return check_tenant_name(value.decode("ascii"))
    except (UnicodeDecodeError, InvalidParams):
        raise BadRequest(
            "the header X-Tenant-Id is not the name of a tenant",
            field="X-Tenant-Id",
            hint="1 to 40 of a-z, 0-9 and -, and no - at the beginning",
        ) from None


def _read_host(value: bytes) -> str:
    """Returns the name in a Host header, which has the form of one already."""
    name = value.decode("latin-1").lower()
    return name if name.startswith("[") else name.partition(":")[0].rstrip(".")


def _refuse_repetition(name: str) -> BadRequest:
    return BadRequest(f"the header {name} names a sender or a tenant twice", field=name, hint="send it once")
