"""Which pages may make a browser change something here: the gateway's own, and those of CORS_ORIGINS.

A form of any page can send what is no JSON, and needs to ask nobody for it. Browsers say whose page it is.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from services.gateway.problems import Forbidden

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
