"""Origins of requests: pages of the gateway itself and of CORS_ORIGINS may send requests, other sites may not.

A form of any page can send what is no JSON, and needs to ask nobody for it. Browsers say whose page it is. And a page
may have its own name lead to this machine (DNS rebinding): then the name says whose page it is.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import SplitResult, urlsplit

from services.gateway.http.problems import BadRequest
from shared.domain.errors import Forbidden

_KNOWN = 1000
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")
"""RFC 9110, section 7.2: a name or an address, and a port."""
_SAFE_SITES = (b"same-origin", b"none")


def check_origin(headers: Iterable[tuple[bytes, bytes]], allowed: Iterable[str]) -> None:
    """Raises Forbidden for a request that a page of another site has made a browser send, and BadRequest."""
    found = dict(headers)
    site_header = found.get(b"sec-fetch-site")
    if (sent := found.get(b"origin")) is None:
        if site_header is None or site_header in _SAFE_SITES:
            return
        raise refuse_page()
    origin = sent.decode("latin-1")
    site = _parse_authority(origin, "Origin")
    if site_header in _SAFE_SITES or origin in allowed:
        return
    if site_header is None and site.netloc.encode("latin-1") == found.get(b"host"):
        return
    raise refuse_page()


def find_foreign_origin(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Returns the origin of the page of another site that has sent a request, or None. Raises BadRequest."""
    found = dict(headers)
    if (sent := found.get(b"origin")) is None or found.get(b"sec-fetch-site") in _SAFE_SITES:
        return None
    origin = sent.decode("latin-1")
    site = _parse_authority(origin, "Origin")
    is_own = b"sec-fetch-site" not in found and site.netloc.encode("latin-1") == found.get(b"host")
    return None if is_own else origin


def refuse_page() -> Forbidden:
    """Returns the error for a request of a page of another site."""
    return Forbidden(
        "a page of another site has sent this",
        field="Origin",
        hint="add its origin to the tenant, or for main to CORS_ORIGINS",
    )


class HostFilter:
    """The names by which the gateway may be asked: any address, any name of one word, and `names`; `*` is any.

    `is_tenant_host` says whether a name is that of a tenant.
    """

    def __init__(self, names: Iterable[str], is_tenant_host: Callable[[str], Awaitable[bool]]) -> None:
        self._is_tenant_host = is_tenant_host
        self._names = {name.lower() for name in names}
        self._known: set[bytes] = set()

    async def check(self, headers: Iterable[tuple[bytes, bytes]], http_version: str) -> None:
        """Raises Forbidden for a name that may be another site's, and BadRequest where there is not one name.

        An Origin that is no address is a bad request as well, whatever is asked for.
        """
        hosts: list[bytes] = []
        for name, value in headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                _parse_authority(value.decode("latin-1"), "Origin")
        if len(hosts) != 1 and (hosts or http_version != "1.0"):
            message = "the header Host stands there more than once" if hosts else "the header Host is missing"
            raise BadRequest(message, field="Host", hint="RFC 9112, section 3.2: a request of HTTP/1.1 has one")
        for value in hosts:
            if value not in self._known:
                await self._check_host(value)

    async def _check_host(self, value: bytes) -> None:
        if _HOST.fullmatch(value) is None:
            raise _no_address("Host")
        found = _parse_authority(f"//{value.decode('latin-1')}", "Host")
        host = (found.hostname or "").rstrip(".")
        if "." in host and not _is_address(host) and not self._names & {host, "*"}:
            if await self._is_tenant_host(host):
                return
            raise Forbidden(f"this is not {host[:100]}", field="Host", hint="add the name to ALLOWED_HOSTS")
        if len(self._known) < _KNOWN:
            self._known.add(value)


def _parse_authority(url: str, header: str) -> SplitResult:
    """The parts of an address that a header names. Raises BadRequest."""
    try:
        found = urlsplit(url)
        if found.port != 0 and "@" not in found.netloc and (header != "Host" or url == f"//{found.netloc}"):
            return found
    except ValueError:
        pass
    raise _no_address(header)


def _no_address(header: str) -> BadRequest:
    return BadRequest(f"the header {header} is no address", field=header, hint="write HOST or HOST:PORT")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
