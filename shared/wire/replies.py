"""Replies as lines of JSON, and the conversion of errors to replies."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.domain.errors import ComandaError

RequestIdValue = str | int | None

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode_line(members: Any) -> bytes:
    """Returns one reply or event: the JSON of `members` and a newline."""
    return _encoder.encode(members) + b"\n"


def success_reply(members: Mapping[str, Any], request_id: RequestIdValue = None) -> dict[str, Any]:
    """Returns the members of a successful reply."""
    reply: dict[str, Any] = {"success": True, **members}
    if request_id is not None:
        reply["request_id"] = request_id
    return reply


def error_reply(error: ComandaError, request_id: RequestIdValue = None) -> dict[str, Any]:
    """Returns the members of the reply for `error`."""
    reply: dict[str, Any] = {"success": False, "error": error.code, "message": error.message}
    for name in ("field", "line", "column", "hint", "example"):
        value = getattr(error, name)
        if value is not None:
            reply[name] = value
    reply.update(error.details)
    if request_id is not None:
        reply["request_id"] = request_id
    return reply


def encode_json(members: Any) -> bytes:
    """Returns the JSON of `members` without a newline, for building larger lines."""
    return _encoder.encode(members)
