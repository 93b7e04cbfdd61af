"""What connections hand in, understood one by one: requests, or an answer that needs no more."""

from decimal import Decimal
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Struct, structs

from services.persistence import dialect
from services.persistence.requests import CATALOGUE, REQUESTS, AnyRequest, Request, decoder
from shared.domain.errors import ComandaError, InvalidParams
from shared.domain.records import Action, Condition
from shared.wire.framing import Document, Frame, Line
from shared.wire.ready import Ready, answer_frame, refusal
from shared.wire.strict import parse

_EMPTY: tuple[Any, ...] = ({}, [])
_HOLDERS = (dict, list, Struct)
_exact = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Asked(NamedTuple):
    """A request; one in the upper-case dialect is answered in it."""

    request: Request
    dialect: bool = False


Item = Asked | Ready


def block(data: bytes) -> list[Asked] | None:
    """The requests of a block of lines, or None unless it is nothing but plainly valid ones."""
    try:
        requests: list[AnyRequest] = decoder.decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # Where a key stands twice, or a text looks like one, there is more to be looked at.
    if data.count(b'":') != sum(map(_count_keys, requests)):
        return None
    return [Asked(request) for request in requests]


def frame(found: Frame) -> Item:
    """What one frame asks for; a wrong one is an answer that says so."""
    match found:
        case Document(data):
            return _document(data)
        case Line(text):
            try:
                return Asked(CATALOGUE.verb(text))
            except ComandaError as error:
                return refusal(error)
        case _:
            return answer_frame(found)


def _document(data: bytes) -> Item:
    members: Any = None
    in_dialect = False
    try:
        members = parse(data)
        if dialect.speaks_dialect(members):
            in_dialect = True
            return Asked(dialect.translate(_exact.decode(data)), dialect=True)
        if not isinstance(members, dict) or "action" not in members:
            raise InvalidParams("a request is an object with an action", hint="try: help", example={"action": "ping"})
        return Asked(CATALOGUE.decode(data, members["action"]))
    except ComandaError as error:
        return dialect.refused(error) if in_dialect else refusal(error, members)


_FIELDS = {
    kind: [
        (field.name, None if field.default is msgspec.NODEFAULT else field.default) for field in structs.fields(kind)
    ]
    for kind in (*REQUESTS.values(), *get_args(Action), Condition)
}


def _count_keys(found: Struct) -> int:
    """The number of keys that a document of this struct has, if it says nothing twice and nothing needlessly."""
    keys = 0 if found.__struct_config__.tag is None else 1
    for name, default in _FIELDS[type(found)]:
        value = getattr(found, name)
        if value != default and value not in _EMPTY:
            keys += 1 + _nested_keys(value)
    return keys


def _nested_keys(value: Any) -> int:
    # Most members are plain, and are passed over here: a call for each would cost more than all the rest.
    if isinstance(value, dict):
        return len(value) + sum([_nested_keys(one) for one in value.values() if isinstance(one, _HOLDERS)])
    if isinstance(value, list):
        return sum([_nested_keys(one) for one in value if isinstance(one, _HOLDERS)])
    return _count_keys(value) if isinstance(value, Struct) else 0
