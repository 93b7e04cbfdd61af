"""Responses in the product's JSON, and entity tags."""

import gzip
import hashlib
from typing import Any

import msgspec

from services.gateway.http.routes import HttpRequest, HttpResponse
from shared.domain.errors import ErrorReason, PreconditionFailed

encode_json = msgspec.json.Encoder(decimal_format="number").encode
"""Encodes what routes answer; decimals are written as numbers."""
_JSON = (b"content-type", b"application/json")
_PACKED = (b"content-encoding", b"gzip")
_VARY = (b"vary", b"accept-encoding")
_LEAST_PACKED = 2048
_LEVEL = 1


def json_response(
    content: Any, *, status: int = 200, etag: str | None = None, location: str | None = None
) -> HttpResponse:
    """Returns a JSON response; decimals are written as numbers."""
    headers = [_JSON]
    if etag is not None:
        headers.append((b"etag", etag.encode()))
    if location is not None:
        headers.append((b"location", location.encode()))
    return HttpResponse(status, headers, encode_json(content))


def packed_response(request: HttpRequest, content: Any) -> HttpResponse:
    """Returns a JSON response, compressed for clients that accept it if it is long.

    For public content only: the length of a compressed answer could tell a secret in it.
    """
    body = encode_json(content)
    if len(body) < _LEAST_PACKED or "gzip" not in (request.header(b"accept-encoding") or ""):
        return HttpResponse(200, [_JSON, _VARY], body)
    return HttpResponse(200, [_JSON, _VARY, _PACKED], gzip.compress(body, _LEVEL, mtime=0))


def not_modified(etag: str) -> HttpResponse:
    """Returns the response to a client that has the current version."""
    return HttpResponse(304, [(b"etag", etag.encode())], b"")


def etag_of(content: Any) -> str:
    """Returns an entity tag for content without a version."""
    return f'"{hashlib.sha256(encode_json(content)).hexdigest()[:24]}"'


def is_named(etag: str, header: str | None) -> bool:
    """Whether a header `If-Match` or `If-None-Match` names this tag."""
    if header is None:
        return False
    named = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in named or etag in named


def check_match(etag: str, if_match: str | None) -> None:
    """Raises PreconditionFailed if the client has seen another version."""
    if if_match is not None and not is_named(etag, if_match):
        raise PreconditionFailed(
            "what you have seen is not what is stored now",
            field="If-Match",
            hint="get it again, and send the ETag that comes with it",
        )


def seen_version(if_match: str | None) -> int | None:
    """Returns the version that the client has seen, or None for any. Raises PreconditionFailed for an invalid ETag."""
    if if_match is None or if_match.strip() == "*":
        return None
    version = if_match.strip().removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 16):
        raise PreconditionFailed(
            "nothing has this ETag",
            field="If-Match",
            hint="send the ETag that came with it",
            reason=ErrorReason("etag_invalid"),
        )
    return int(version)
