"""The upper-case dialect of older programs: other names, and bare items instead of answers."""

from collections.abc import Mapping
from typing import Any

from shared.domain.errors import ComandaError
from shared.wire.immediate_replies import ImmediateReply
from shared.wire.replies import encode_line, error_reply


def speaks_dialect(members: Any) -> bool:
    """Whether a document is in this dialect."""
    return isinstance(members, dict) and "ACTION" in members and "action" not in members


def encode_answer(members: Mapping[str, Any]) -> bytes:
    """Returns an answer of the server in the dialect."""
    if not members["success"]:
        shown = {name: value for name, value in members.items() if name not in ("success", "error", "message")}
        return encode_line({"error": members["message"], "code": members["error"], **shown})
    if "items" in members:
        return encode_line(
            [{"id": item["id"], **item["data"]} if "data" in item else item for item in members["items"]]
        )
    if "data" in members:
        return encode_line({"id": members["id"], **members["data"]})
    if "watching" in members:
        return encode_line({"status": "OK", "watching": members["watching"]})
    return encode_line(members)


def refuse_document(error: ComandaError) -> ImmediateReply:
    """Returns the answer to a document that is no valid request."""
    return ImmediateReply(encode_answer(error_reply(error)))


def encode_event(item: Mapping[str, Any]) -> bytes:
    """Returns the event of a stored record for subscribers."""
    return encode_line({"EVENT": "update", "DATA": item})
