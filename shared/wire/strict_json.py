"""Decodes strict JSON into typed structs, with errors that name the cause, the position and the fix.

This is the slow path: for documents that the fast path (`shared.wire.orders`) refused, and for all requests that
are not orders. A decoder or one of its hooks may raise RecursionError for deep values and ArithmeticError for
numbers besides msgspec's own errors; this module translates all of them to request errors.
"""

import difflib
import json
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec

from shared.domain.errors import DocumentPosition, ErrorReason, InvalidJson, InvalidParams
from shared.wire.members import TIME, describe_member, list_choices, list_fields

T = TypeVar("T")

SPACE_BEFORE_COLON: Final = re.compile(rb"[ \t\r\n]:")
"""Finds what could hide a key from a count of `":`."""

_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`(?: (?P<limit>.+?))?(?:, got `(?P<got>[^`]+)`)?$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+)`$", re.DOTALL)
_ENUM = re.compile(r"Invalid (?:enum )?value (?P<value>.+)$", re.DOTALL)
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]')
# Pairs and other escapes are matched so that a backslash within them begins none.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_SHOWN_CHARACTERS = 40
_MESSAGE_CHARACTERS = 300
_NO_DECIMAL = "Invalid decimal string"
_OUT_OF_RANGE = ("Number out of range", "Integer value out of range")
_PLACE = " - at `$"
# The place of a key that is wrong itself.
KEY_PLACE: Final = " - at `key` in `$"
# What msgspec writes in a place for the key of an object that may have any keys.
_ANY_KEY = "[...]"
_UNREAD: Final = object()
_LARGE_NUMBER: Final = object()
_INFINITY = float("inf")
_NOT_A_NUMBER = Decimal("NaN")
# More digits than any whole number that a type accepts.
_SHORT_DIGITS = 20
# A limit as msgspec writes it, such as `of length >= 1` or `<= 999`.
_BOUND = re.compile(r"(?P<length>of length )?(?P<sign>[<>]=) (?P<number>-?[0-9.e+]+)$")
_TYPE_CODES = {
    "str": "text",
    "int": "whole_number",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "datetime": "time",
}
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "datetime": TIME,
}


def parse_json(document: bytes) -> Any:
    """Decodes one document of strict JSON (RFC 8259). Floats lose precision: do not store the result.

    Raises InvalidJson with line and column for anything else: duplicate keys, NaN, lone surrogates,
    invalid UTF-8 and raw control characters included.
    """
    value: Any = _UNREAD
    try:
        value = _look(document)
    except UnicodeDecodeError:
        raise _not_utf8(document) from None
    except msgspec.ValidationError:
        # A whole number of thousands of digits is valid JSON; the types refuse it later and name its field.
        pass
    except msgspec.DecodeError as error:
        raise _syntax_error(document, str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    try:
        if value is not _UNREAD and msgspec.json.encode(value) == document:
            # Then no key stands twice. Programs in JavaScript write documents like this.
            return value
        # This call only finds duplicate keys. Converting very long numbers would be expensive.
        json.loads(document, object_pairs_hook=_refuse_duplicates, parse_int=len, parse_float=len)
        if value is _UNREAD:
            value = json.loads(document, parse_int=_short_number, parse_float=_short_number)
    except _DuplicateKey:
        raise _duplicate_key(document) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        # After a number at which msgspec stopped.
        raise _syntax_error(document, str(error)) from None
    return value


def convert_document(document: bytes, kind: Any, *, example: Any = None) -> Any:
    """Decodes a document that `parse_json` has accepted into `kind`.

    Raises InvalidParams naming the field, with the nearest known name for an unknown one.
    """
    return decode_strictly(msgspec.json.Decoder(kind), document, example=example)


def decode_strictly(decoder: "msgspec.json.Decoder[T]", document: bytes, *, example: Any = None) -> T:
    """Decodes a document that `parse_json` has accepted.

    Raises InvalidParams naming the field, for every error that the decoder or its hooks raise.
    """
    kind = decoder.type
    try:
        return decoder.decode(document)
    except msgspec.ValidationError as error:
        message = str(error)
        reason, _, place = message.partition(_PLACE)
        if reason in _OUT_OF_RANGE and _ANY_KEY in place and (found := _find_large_number(document)) is not None:
            message = f"{reason}{_PLACE}{found}`"
        raise translate_error(message, kind, example=example) from None
    except msgspec.DecodeError as error:
        raise _syntax_error(document, str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    except ArithmeticError:
        raise InvalidParams("a number of the document is out of range", example=example) from None


def read_decimal(text: str) -> Decimal:
    """Returns a number of a document with all its digits (`float_hook`).

    Returns NaN for an exponent that a Decimal cannot hold. JSON has no NaN, so the check of the value refuses it
    and names its field, which a hook does not know.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NOT_A_NUMBER


def translate_error(message: str, kind: Any, *, example: Any = None) -> InvalidParams:
    """Translates msgspec's message about a value of type `kind` to the protocol's terms."""
    is_key = KEY_PLACE in message
    text, _, path = message.partition(KEY_PLACE if is_key else _PLACE)
    where = path.rstrip("`").removeprefix(".")
    where = re.sub(r"^\[\.\.\.\]\.?|^\[\d+\]\.?", "", where)
    if found := _MISSING.match(text):
        name = f"{where}.{found['name']}" if where else found["name"]
        return InvalidParams(f"{name} is missing", field=name, reason=ErrorReason("required"), example=example)
    if found := _UNKNOWN.match(text):
        word = shorten_text(found["name"])
        name = f"{where}.{word}" if where else word
        known = list_fields(kind, inner=bool(where))
        return InvalidParams(
            f"{name} is not a known field",
            field=name,
            hint=did_you_mean(word, known) or f"known fields: {', '.join(known)}",
            reason=ErrorReason("unknown_field"),
            example=example,
        )
    subject = where or "the document"
    if is_key:
        subject = f"a name in {subject}"
    if found := _ENUM.match(text):
        message = f"{subject} must not be {shorten_text(found['value'])}"
        hint, reason = _hint_choices(kind, where), _explain_choice(kind, where)
        return InvalidParams(message, field=where or None, hint=hint, reason=reason, example=example)
    if found := _EXPECTED.match(text):
        expected = " or ".join(_TYPES.get(name.strip(), name.strip()) for name in found["expected"].split("|"))
        message = f"{subject} must be {expected}"
        if found["limit"]:
            message += f" {found['limit'].replace('of length', 'with length')}"
        if found["got"]:
            message += f", not {_TYPES.get(found['got'], found['got'])}"
        hint = None if found["limit"] else _hint_choices(kind, where)
        return InvalidParams(message, field=where or None, hint=hint, reason=_explain_type(found), example=example)
    if text == _NO_DECIMAL:
        reason = ErrorReason("wrong_type", expected="number")
        return InvalidParams(f"{subject} must be a number", field=where or None, reason=reason, example=example)
    if text in _OUT_OF_RANGE:
        # 1e400 is out of range for every type; the type of the member tells the valid range.
        expected = describe_member(kind, where)
        message = f"{subject} must be {expected}" if expected else f"{subject} is out of range"
        hint, reason = _hint_choices(kind, where), ErrorReason("out_of_range")
        return InvalidParams(message, field=where or None, hint=hint, reason=reason, example=example)
    word = text.partition(" ")[0]
    if where and word in list_fields(kind, inner=True):
        # The message is from a check of the whole object and begins with the name of the member.
        text, where = f"{where}.{text}", f"{where}.{word}"
    elif where and not text.startswith(where):
        text = f"{where}: {text}"
    return InvalidParams(text[:_MESSAGE_CHARACTERS], field=where or None, example=example)


def _hint_choices(kind: Any, where: str) -> str | None:
    choices = list_choices(kind, where)
    return f"one of: {', '.join(choices)}" if choices else None


def _explain_choice(kind: Any, where: str) -> ErrorReason:
    return ErrorReason("choice", choices=list_choices(kind, where))


def _explain_type(found: "re.Match[str]") -> ErrorReason:
    """Returns the reason of a message about a type, or about a limit that msgspec adds to the name of the type."""
    limit = found["limit"]
    if limit is None:
        names = [_TYPE_CODES.get(name.strip(), name.strip()) for name in found["expected"].split("|")]
        return ErrorReason("wrong_type", expected="|".join(names))
    if bound := _BOUND.match(limit):
        number = int(bound["number"]) if bound["number"].lstrip("-").isdigit() else float(bound["number"])
        if bound["length"]:
            return (
                ErrorReason("min_length", min=number)
                if bound["sign"] == ">="
                else ErrorReason("max_length", max=number)
            )
        return ErrorReason("minimum", min=number) if bound["sign"] == ">=" else ErrorReason("maximum", max=number)
    return ErrorReason("pattern")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Returns a hint with the known word most similar to `word`, if there is one."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else None


def shorten_text(word: str) -> str:
    """Returns a word of the caller, shortened for a message."""
    return word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "…"


def _short_number(text: str) -> int | None:
    """Returns a whole number; None for fractions and for numbers that are too long to be valid."""
    return int(text) if len(text) <= _SHORT_DIGITS and text.lstrip("-").isdigit() else None


def _find_large_number(document: bytes) -> str | None:
    """Returns the place of the first number that no Python number can hold, such as `.data.a[1]`; None without one."""
    open_: list[tuple[str, Any]] = [
        ("", json.loads(document, parse_int=_mark_large_int, parse_float=_mark_large_float))
    ]
    while open_:
        place, value = open_.pop()
        if value is _LARGE_NUMBER:
            return place
        if isinstance(value, dict):
            open_ += reversed([(f"{place}.{shorten_text(key)}", one) for key, one in value.items()])
        elif isinstance(value, list):
            open_ += reversed([(f"{place}[{number}]", one) for number, one in enumerate(value)])
    return None


def _mark_large_int(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return _LARGE_NUMBER


def _mark_large_float(text: str) -> object:
    return _LARGE_NUMBER if abs(float(text)) == _INFINITY else None


# A float may be out of range (1e400); the types report that.
_look = msgspec.json.Decoder(float_hook=lambda _: 0.0).decode


class _DuplicateKey(Exception):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _DuplicateKey


def _duplicate_key(document: bytes) -> InvalidJson:
    """Returns the error for the first key that occurs twice in one object; the document has to have one."""
    open_: list[set[str] | None] = []
    """The keys of each open object; None for an array."""
    before = ""
    for token in _TOKEN.finditer(document.decode()):
        text = token.group()
        if text in "{[":
            open_.append(set() if text == "{" else None)
        elif text in "}]":
            open_.pop()
        elif text not in ",:" and before in "{," and (keys := open_[-1]) is not None:
            key = json.loads(text) if "\\" in text else text[1:-1]
            if key in keys:
                return InvalidJson(
                    f"the key {shorten_text(key)!r} stands twice in one object",
                    **_character_position(document.decode(), token.start()),
                    hint="keep one of them",
                )
            keys.add(key)
        before = text
    raise AssertionError("no key stands twice")


def _byte_position(document: bytes, position: int) -> DocumentPosition:
    """Returns the position of a byte; columns count characters, as in editors."""
    text = document[:position].decode("utf-8", "replace")
    return _character_position(text, len(text))


def _character_position(text: str, position: int) -> DocumentPosition:
    return {
        "line": text.count("\n", 0, position) + 1,
        "column": position - (text.rfind("\n", 0, position) + 1) + 1,
    }


def _too_deep() -> InvalidJson:
    return InvalidJson("the document is nested too deep", hint="the limit is the setting MAX_DEPTH")


def _not_utf8(document: bytes) -> InvalidJson:
    try:
        document.decode()
    except UnicodeDecodeError as error:
        return InvalidJson(
            "the text is not valid UTF-8", **_byte_position(document, error.start), hint="send UTF-8, or \\u escapes"
        )
    return _half_pair(document)


def _half_pair(document: bytes) -> InvalidJson:
    """Returns the error for the first escape that is half of a surrogate pair; the document has to have one."""
    start = next(found.start() for found in _ESCAPE.finditer(document) if found["half"])
    return InvalidJson(
        "a \\u escape is half of a surrogate pair", **_byte_position(document, start), hint="send the character itself"
    )


def _syntax_error(document: bytes, message: str) -> InvalidJson:
    try:
        json.loads(document, parse_constant=_refuse_constant, parse_int=len, parse_float=len)
    except json.JSONDecodeError as error:
        reason = error.msg[0].lower() + error.msg[1:]
        return InvalidJson(f"not valid JSON: {reason}", line=error.lineno, column=error.colno)
    except UnicodeDecodeError:
        return _not_utf8(document)
    except RecursionError:
        return _too_deep()
    except ValueError as error:
        return InvalidJson(f"not valid JSON: {error}", **_byte_position(document, _error_offset(message)))
    # The standard library is less strict than RFC 8259. If it finds no error, it is a surrogate pair, or else use
    # msgspec's message, which takes a text that ends with half of a pair for the end of the document.
    if any(found["half"] for found in _ESCAPE.finditer(document)):
        return _half_pair(document)
    reason = re.sub(r"^JSON is malformed: | \(byte \d+\)", "", message)
    return InvalidJson(f"not valid JSON: {reason}", **_byte_position(document, _error_offset(message)))


def _error_offset(message: str) -> int:
    """Returns the byte offset in a message of msgspec."""
    found = re.search(r"byte (\d+)", message)
    return int(found[1]) if found else 0


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
