"""The parser of the persistence server: whole blocks of requests, and the upper-case dialect of older programs."""

from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec
from msgspec import Struct, structs

from services.persistence import dialect
from services.persistence.actions import ACTIONS
from services.persistence.corporate import SubscribeToRecords
from shared.domain.errors import ComandaError, InvalidParams, UnknownAction
from shared.domain.records import Action, Condition
from shared.runtime.logs import log_internal_error
from shared.server.actions import ParsedRequest
from shared.server.parser import Item, RequestParser
from shared.wire.strict_json import decode_strictly, read_decimal, shorten_text, translate_error

_DIALECT_NAMES = ("set", "get", "list", "list_logs", "subscribe")
_DIALECT_MEMBERS = ("ACTION", "UUID", "ID", "id")
"""Members of a request that are not data of a record."""
_DIALECT_LIMIT = 1000
_EMPTY: tuple[Any, ...] = ({}, [])
_HOLDERS = (dict, list, Struct)
_REQUESTS = [action.request for action in ACTIONS.actions.values()]
_by_type = ACTIONS.by_type
_decoder: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(reduce(or_, _REQUESTS), float_hook=read_decimal)
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
            # Where a key stands twice, or a text looks like one, there is more to be looked at.
            if block.count(b'":') != sum([_count_keys(request, self._depth) for request in requests]):
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


_FIELDS = {
    kind: [
        (field.name, None if field.default is msgspec.NODEFAULT else field.default) for field in structs.fields(kind)
    ]
    for kind in (*_REQUESTS, *get_args(Action), Condition)
}


class _TooDeep(Exception):
    pass


def _count_keys(found: Struct, depth: int) -> int:
    """Returns the number of keys in a document of this struct without duplicates and without defaults.

    Raises _TooDeep for one with more than `depth` brackets around a value: this is the first walk through it.
    """
    if not depth:
        raise _TooDeep
    keys = 0 if found.__struct_config__.tag is None else 1
    for name, default in _FIELDS[type(found)]:
        value = getattr(found, name)
        if value != default and value not in _EMPTY:
            keys += 1 + _nested_keys(value, depth - 1)
    return keys


def _nested_keys(value: Any, depth: int) -> int:
    # Most members are plain, and are passed over here: a call for each would cost more than all the rest.
    if isinstance(value, Struct):
        return _count_keys(value, depth)
    if not isinstance(value, dict | list):
        return 0
    if not depth:
        raise _TooDeep
    keys, held = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    for one in held:
        if isinstance(one, _HOLDERS):
            keys += _nested_keys(one, depth - 1)
    return keys
