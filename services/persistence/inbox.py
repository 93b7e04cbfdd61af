"""What connections hand in, understood one by one: requests, or an answer that needs no more."""

from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Struct, structs

from services.persistence import dialect
from services.persistence.requests import CATALOGUE, REQUESTS, AnyRequest, Request, decoder
from shared.domain.errors import ComandaError, InvalidParams
from shared.domain.records import Action, Condition
from shared.runtime.logs import log_fault
from shared.wire.framing import Document, Frame, Line
from shared.wire.ready import Ready, answer_frame, refusal
from shared.wire.strict import decode_strictly, parse, read_decimal

_EMPTY: tuple[Any, ...] = ({}, [])
_HOLDERS = (dict, list, Struct)
_exact = msgspec.json.Decoder(dict[str, Any], float_hook=read_decimal)


class Asked(NamedTuple):
    """A request; one in the upper-case dialect is answered in it."""

    request: Request
    dialect: bool = False


Item = Asked | Ready


def block(data: bytes, depth: int) -> list[Asked] | None:
    """The requests of a block of lines, or None unless it is nothing but plainly valid ones.

    None is nested deeper than `depth`: what walks through their values later can rely on it.
    """
    try:
        requests: list[AnyRequest] = decoder.decode_lines(data)
        # Where a key stands twice, or a text looks like one, there is more to be looked at.
        if data.count(b'":') != sum([_count_keys(request, depth) for request in requests]):
            return None
    except Exception:
        # Whatever it is, the close look says it of the one request whose it is.
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
            except Exception:
                return refusal(log_fault("request_read_failed"))
        case _:
            return answer_frame(found)


def _document(data: bytes) -> Item:
    members: Any = None
    in_dialect = False
    try:
        members = parse(data)
        if dialect.speaks_dialect(members):
            in_dialect = True
            exact = decode_strictly(_exact, data)
            return Asked(dialect.translate(exact), dialect=True)
        if not isinstance(members, dict) or "action" not in members:
            raise InvalidParams("a request is an object with an action", hint="try: help", example={"action": "ping"})
        return Asked(CATALOGUE.decode(data, members["action"]))
    except ComandaError as error:
        return dialect.refused(error) if in_dialect else refusal(error, members)
    except Exception:
        fault = log_fault("request_read_failed")
        return dialect.refused(fault) if in_dialect else refusal(fault, members)


_FIELDS = {
    kind: [
        (field.name, None if field.default is msgspec.NODEFAULT else field.default) for field in structs.fields(kind)
    ]
    for kind in (*REQUESTS.values(), *get_args(Action), Condition)
}


class _TooDeep(Exception):
    pass


def _count_keys(found: Struct, depth: int) -> int:
    """The number of keys that a document of this struct has, if it says nothing twice and nothing needlessly.

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
