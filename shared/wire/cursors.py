"""Cursors: signed positions of the next page, which cannot be forged or used for another query."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from shared.domain.errors import ErrorReason, InvalidParams

_SEAL_BYTES = 16
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Cursors:
    """Encodes and decodes cursors with a secret `key` that all servers of a store share."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode_cursor(self, scope: Any, place: list[str]) -> str:
        """Returns the cursor of a position in the results of a query; `scope` has all parameters of the query."""
        content = _encode(place)
        return base64.urlsafe_b64encode(self._sign_content(scope, content) + content).rstrip(b"=").decode()

    def decode_cursor(self, scope: Any, cursor: str) -> list[str]:
        """Returns the position of a cursor. Raises InvalidParams if the cursor is not from this query."""
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            sealed = b""
        seal, content = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._sign_content(scope, content)):
            raise InvalidParams(
                "the cursor is not one of this query",
                field="cursor",
                hint="leave it out to begin at the first page",
                reason=ErrorReason("cursor_invalid"),
            )
        place: list[str] = msgspec.json.decode(content, type=list[str])
        return place

    def _sign_content(self, scope: Any, content: bytes) -> bytes:
        return hmac.digest(self._key, hashlib.sha256(_encode(scope)).digest() + content, "sha256")[:_SEAL_BYTES]
