"""Finds the faults of all members of a document, where a decoder stops at the first one."""

import functools
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from shared.domain.errors import ErrorReason, InvalidParams
from shared.wire.strict_json import KEY_PLACE, shorten_text, translate_error

_MAX_FAULTS: Final = 50
_PLACE: Final = " - at `$"


class _Member(NamedTuple):
    name: str
    decoder: "msgspec.json.Decoder[Any]"
    required: bool


def find_faults(document: bytes, kind: Any) -> list[InvalidParams]:
    """Returns one error for each member of a document that is not as the struct `kind` declares it, at most 50.

    `parse_json` has accepted the document. The list is empty if no single member is wrong, or if `kind` is no struct.
    """
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        return []
    try:
        sent = msgspec.json.decode(document, type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError):
        return []
    found: list[InvalidParams] = []
    for member in _list_members(kind):
        value = sent.pop(member.name, None)
        if value is None:
            if member.required:
                message = f"{member.name} is missing"
                found.append(InvalidParams(message, field=member.name, reason=ErrorReason("required")))
        elif (fault := _check_member(member, value, kind)) is not None:
            found.append(fault)
    if kind.__struct_config__.forbid_unknown_fields:
        for name in sent:
            if name != kind.__struct_config__.tag_field:
                word = shorten_text(name)
                message = f"{word} is not a known field"
                found.append(InvalidParams(message, field=word, reason=ErrorReason("unknown_field")))
    return found[:_MAX_FAULTS]


def _check_member(member: _Member, value: Raw, kind: type[Struct]) -> InvalidParams | None:
    try:
        member.decoder.decode(value)
    except msgspec.ValidationError as error:
        mark = KEY_PLACE if KEY_PLACE in str(error) else _PLACE
        text, _, place = str(error).partition(mark)
        return translate_error(f"{text}{mark}.{member.name}{place or '`'}", kind)
    except (msgspec.DecodeError, RecursionError, ArithmeticError):
        return InvalidParams(f"{member.name} is out of range", field=member.name, reason=ErrorReason("out_of_range"))
    return None


# The types of bodies are few, and a decoder takes longer to make than to use.
@functools.cache
def _list_members(kind: type[Struct]) -> list[_Member]:
    return [
        _Member(field.encode_name, msgspec.json.Decoder(field.type), field.required)
        for field in msgspec.structs.fields(kind)
    ]
