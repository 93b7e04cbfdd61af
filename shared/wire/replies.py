"""Answers as lines of JSON; the one place where an error becomes a reply."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.domain.errors import ComandaError

RequestIdValue = str | int | None

_encoder = msgspec.json.Encoder(decimal_format="number")


def line(members: Any) -> bytes:
    """One answer or event: the JSON of `members` and a newline."""
    return _encoder.encode(members) + b"\n"


def success(members: Mapping[str, Any], request_id: RequestIdValue = None) -> dict[str, Any]:
    """The members of a positive answer."""
    reply: dict[str, Any] = {"success": True, **members}
    if request_id is not None:
        reply["request_id"] = request_id
    return reply


def failure(error: ComandaError, request_id: RequestIdValue = None) -> dict[str, Any]:
    """The members of the answer that tells of `error`."""
    reply: dict[str, Any] = {"success": False, "error": error.code, "message": error.message}
    for name in ("field", "line", "column", "hint", "example"):
        value = getattr(error, name)
        if value is not None:
            reply[name] = value
    reply.update(error.details)
    if request_id is not None:
        reply["request_id"] = request_id
    return reply


def encode(members: Any) -> bytes:
    """The JSON of `members` without a newline, for putting together larger lines."""
    return _encoder.encode(members)
