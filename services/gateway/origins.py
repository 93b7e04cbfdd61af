"""Which pages may make a browser ask here: the gateway's own, and those of CORS_ORIGINS.

A form of any page can send what is no JSON, and needs to ask nobody for it. Browsers say whose page it is. And a page
may have its own name lead to this machine (DNS rebinding): then the name says whose page it is.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from services.gateway.problems import Forbidden

_KNOWN = 1000
_SAFE_SITES = (b"same-origin", b"none")


def check_origin(headers: Iterable[tuple[bytes, bytes]], allowed: Iterable[str]) -> None:
    """Raises Forbidden for a request that a page of another site has made a browser send."""
    found = dict(headers)
    origin = found.get(b"origin")
    if origin is None or found.get(b"sec-fetch-site") in _SAFE_SITES or origin.decode("latin-1") in allowed:
        return
    if b"sec-fetch-site" not in found and urlsplit(origin).netloc == found.get(b"host"):
        return
    raise Forbidden("a page of another site has sent this", field="Origin", hint="allow the site in CORS_ORIGINS")


class Hosts:
    """The names by which the gateway may be asked: any address, any name of one word, and `names`; `*` is any."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {name.lower() for name in names}
        self._known: set[bytes] = set()

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises Forbidden for a name that may be another site's."""
        for name, value in headers:
            if name == b"host":
                if value not in self._known:
                    self._look(value)
                return

    def _look(self, value: bytes) -> None:
        host = (urlsplit(f"//{value.decode('latin-1')}").hostname or "").rstrip(".")
        if "." in host and not _is_address(host) and not self._names & {host, "*"}:
            raise Forbidden(f"this is not {host[:100]}", field="Host", hint="add the name to ALLOWED_HOSTS")
        if len(self._known) < _KNOWN:
            self._known.add(value)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
