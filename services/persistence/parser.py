"""The parser of the persistence server: whole blocks of requests, and the upper-case dialect of older programs."""

from functools import reduce
from operator import or_
from typing import Any

import msgspec

from services.persistence import dialect
from services.persistence.actions import ACTIONS
from services.persistence.corporate import SubscribeToRecords
from shared.domain.errors import ComandaError, InvalidParams, UnknownAction
from shared.runtime.logs import log_internal_error
from shared.server.actions import ParsedRequest
from shared.server.parser import Item, RequestParser
from shared.wire.strict_json import SPACE_BEFORE_COLON, decode_strictly, read_decimal, shorten_text, translate_error

_DIALECT_NAMES = ("set", "get", "list", "list_logs", "subscribe")
_DIALECT_MEMBERS = ("ACTION", "UUID", "ID", "id")
"""Members of a request that are not data of a record."""
_DIALECT_LIMIT = 1000
_REQUESTS = [action.request for action in ACTIONS.actions.values()]
_by_type = ACTIONS.by_type
_decoder: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(reduce(or_, _REQUESTS), float_hook=read_decimal)
_encode = msgspec.json.Encoder(decimal_format="number").encode
_exact = msgspec.json.Decoder(dict[str, Any], float_hook=read_decimal)


class RecordsParser(RequestParser):
    """Parses requests, none of them nested deeper than `depth`; recursive code relies on that."""

    def __init__(self, depth: int) -> None:
        super().__init__(ACTIONS)
        self._depth = depth

    def parse_block(self, block: bytes) -> list[Item] | None:
        """See `RequestParser.parse_block`: None unless the block is nothing but plainly valid requests."""
        try:
            requests = _decoder.decode_lines(block)
            encoded = _encode(requests)
            if not _has_same_keys(encoded, block) or _is_deep(encoded, self._depth):
                return None
        except Exception:
            # Whatever it is, the close look says it of the one request whose it is.
            return None
        return [ParsedRequest(_by_type[type(request)], request) for request in requests]

    def parse_other(self, members: Any, document: bytes) -> Item | None:
        """See `RequestParser.parse_other`."""
        if not dialect.speaks_dialect(members):
            return None
        try:
            return _parse_dialect(decode_strictly(_exact, document))
        except ComandaError as error:
            return dialect.refuse_document(error)
        except Exception:
            return dialect.refuse_document(log_internal_error("request_read_failed"))


def _has_same_keys(encoded: bytes, block: bytes) -> bool:
    """Whether the requests of a block, `encoded` as an array, have all of its keys: then none stands twice there.

    The documents of our own clients are the same when they are encoded again, so that nothing has to be counted.
    """
    if encoded == b"[%s]" % block.rstrip(b"\n").replace(b"\n", b","):
        return True
    # An escaped quote or colon, or a blank before a colon, could hide a key from the count.
    if b"\\u0022" in block or b"\\u003" in block or SPACE_BEFORE_COLON.search(block):
        return False
    return encoded.count(b'":') == block.count(b'":')


def _is_deep(encoded: bytes, depth: int) -> bool:
    """Whether a request has values with more than `depth` brackets around them; `encoded` is an array of requests.

    In a formatted document each value stands on a line of its own, with a blank for each bracket around it.
    """
    return b"\n" + b" " * (depth + 2) in msgspec.json.format(encoded, indent=1)


def _parse_dialect(members: dict[str, Any]) -> ParsedRequest:
    """Returns the request of a document of the dialect. Raises UnknownAction or InvalidParams."""
    name = members["ACTION"]
    if not isinstance(name, str) or name.lower() not in _DIALECT_NAMES:
        shown = shorten_text(str(name))
        raise UnknownAction(f"there is no ACTION {shown!r}", field="ACTION", hint=f"known: {', '.join(_DIALECT_NAMES)}")
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
        request["data"] = {key: value for key, value in members.items() if key not in _DIALECT_MEMBERS}
    if name in ("list", "list_logs"):
        request["limit"] = _DIALECT_LIMIT
    action = ACTIONS.by_type[SubscribeToRecords] if name == "subscribe" else ACTIONS.actions[name]
    try:
        return ParsedRequest(action, msgspec.convert(request, action.request), dialect.encode_answer)
    except msgspec.ValidationError as error:
        raise translate_error(str(error), action.request) from None
