"""The upper-case dialect that older programs speak: other names, and items instead of answers around them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.persistence.requests import REQUESTS, Request, Subscribe
from shared.domain.errors import ComandaError, InvalidParams, UnknownAction
from shared.wire.ready import Ready
from shared.wire.replies import failure, line
from shared.wire.strict import explain, shortened

ACTIONS = ("set", "get", "list", "list_logs", "subscribe")
_OWN = ("ACTION", "UUID", "ID")
_MOST = 1000


def speaks_dialect(members: Any) -> bool:
    """Whether a document is of this dialect."""
    return isinstance(members, dict) and "ACTION" in members and "action" not in members


def translate(members: Mapping[str, Any]) -> Request:
    """The request that a document of the dialect makes. Raises UnknownAction or InvalidParams."""
    name = members["ACTION"]
    if not isinstance(name, str) or name.lower() not in ACTIONS:
        shown = shortened(str(name))
        raise UnknownAction(f"there is no ACTION {shown!r}", field="ACTION", hint=f"known: {', '.join(ACTIONS)}")
    name = name.lower()
    request: dict[str, Any] = {}
    if "UUID" in members:
        request["uuid"] = str(members["UUID"])
    if name in ("set", "get"):
        found = members.get("id", members.get("ID"))
        if found is None:
            raise InvalidParams("id is missing", field="id", example={"ACTION": name, "id": "X"})
        request["id"] = found
    if name == "set":
        request["data"] = {key: value for key, value in members.items() if key not in _OWN and key != "id"}
    if name in ("list", "list_logs"):
        request["limit"] = _MOST
    kind = Subscribe if name == "subscribe" else REQUESTS[name]
    try:
        return msgspec.convert(request, kind)
    except msgspec.ValidationError as error:
        raise explain(str(error), kind) from None


def answer(members: Mapping[str, Any]) -> bytes:
    """An answer of the server, as the dialect puts it."""
    if not members["success"]:
        shown = {name: value for name, value in members.items() if name not in ("success", "error", "message")}
        return line({"error": members["message"], "code": members["error"], **shown})
    if "items" in members:
        return line([{"id": item["id"], **item["data"]} if "data" in item else item for item in members["items"]])
    if "data" in members:
        return line({"id": members["id"], **members["data"]})
    if "watching" in members:
        return line({"status": "OK", "watching": members["watching"]})
    return line(members)


def refused(error: ComandaError) -> Ready:
    """The answer to a document that makes no request."""
    return Ready(answer(failure(error)))


def event(item: Mapping[str, Any]) -> bytes:
    """What subscribers are told of a record that was set."""
    return line({"EVENT": "update", "DATA": item})
