"""Strict JSON into typed structs, with errors that say what is wrong, where, and how to fix it.

This is the careful way in: it is taken by documents that the fast way (`shared.wire.orders`) refused,
and by everything that is not an order. A decoder or one of its hooks may raise more than msgspec's own errors:
RecursionError for deep values, ArithmeticError for numbers. Each of them becomes an error of the request here.
"""

import difflib
import json
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec

from shared.domain.errors import InvalidJson, InvalidParams, Place
from shared.wire.members import TIME, describe_member, list_choices, list_fields

T = TypeVar("T")

_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`(?: (?P<limit>.+?))?(?:, got `(?P<got>[^`]+)`)?$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+)`$", re.DOTALL)
_ENUM = re.compile(r"Invalid (?:enum )?value (?P<value>.+)$", re.DOTALL)
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]')
_SHOWN_CHARACTERS = 40
_MESSAGE_CHARACTERS = 300
_NO_DECIMAL = "Invalid decimal string"
_OUT_OF_RANGE = ("Number out of range", "Integer value out of range")
_UNREAD: Final = object()
_NOT_A_NUMBER = Decimal("NaN")
# More digits than any whole number has that a type takes.
_SHORT_DIGITS = 20
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


def parse(document: bytes) -> Any:
    """Decodes one document of strict JSON (RFC 8259); floats lose precision, so use it to look, not to keep.

    Raises InvalidJson with line and column for anything else: duplicate keys, NaN, lone surrogates,
    invalid UTF-8 and raw control characters included.
    """
    value: Any = _UNREAD
    try:
        value = _look(document)
    except UnicodeDecodeError:
        raise _not_utf8(document) from None
    except msgspec.ValidationError:
        # A whole number of thousands of digits is JSON all the same: the types refuse it, and name its field.
        pass
    except msgspec.DecodeError as error:
        raise _syntax_error(document, str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    try:
        # Numbers are not kept here: very long ones would cost more to convert than to refuse.
        json.loads(document, object_pairs_hook=_refuse_duplicates, parse_int=len, parse_float=len)
        if value is _UNREAD:
            value = json.loads(document, parse_int=_short_number, parse_float=_short_number)
    except _DuplicateKey:
        raise _duplicate_key(document) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        # Behind a number that msgspec has stopped at.
        raise _syntax_error(document, str(error)) from None
    return value


def convert(document: bytes, kind: Any, *, example: Any = None) -> Any:
    """Decodes a document that `parse` has found to be strict JSON into `kind`.

    Raises InvalidParams naming the field, with the nearest known name for an unknown one.
    """
    return decode_strictly(msgspec.json.Decoder(kind), document, example=example)


def decode_strictly(decoder: "msgspec.json.Decoder[T]", document: bytes, *, example: Any = None) -> T:
    """Decodes a document that `parse` has found to be strict JSON.

    Raises InvalidParams naming the field, whatever the decoder or a hook of it raises.
    """
    kind = decoder.type
    try:
        return decoder.decode(document)
    except msgspec.ValidationError as error:
        raise explain(str(error), kind, example=example) from None
    except msgspec.DecodeError as error:
        raise _syntax_error(document, str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    except ArithmeticError:
        raise InvalidParams("a number of the document is out of range", example=example) from None


def read_decimal(text: str) -> Decimal:
    """The number of a document with all its digits (`float_hook`).

    An exponent beyond what a Decimal can hold gives NaN, which JSON cannot write: the check of the value refuses
    that, and names its place, which a hook does not know.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NOT_A_NUMBER


def explain(message: str, kind: Any, *, example: Any = None) -> InvalidParams:
    """Msgspec's message about a value of type `kind`, in the protocol's words."""
    text, _, path = message.partition(" - at `$")
    where = path.rstrip("`").removeprefix(".").replace(".productos", "productos")
    where = re.sub(r"^\[\.\.\.\]\.?|^\[\d+\]\.?", "", where)
    if found := _MISSING.match(text):
        name = f"{where}.{found['name']}" if where else found["name"]
        return InvalidParams(f"{name} is missing", field=name, example=example)
    if found := _UNKNOWN.match(text):
        word = shortened(found["name"])
        name = f"{where}.{word}" if where else word
        known = list_fields(kind, inner=bool(where))
        return InvalidParams(
            f"{name} is not a known field",
            field=name,
            hint=did_you_mean(word, known) or f"known fields: {', '.join(known)}",
            example=example,
        )
    subject = where or "the document"
    if found := _ENUM.match(text):
        message = f"{subject} must not be {shortened(found['value'])}"
        return InvalidParams(message, field=where or None, hint=_hint_choices(kind, where), example=example)
    if found := _EXPECTED.match(text):
        expected = " or ".join(_TYPES.get(name.strip(), name.strip()) for name in found["expected"].split("|"))
        message = f"{subject} must be {expected}"
        if found["limit"]:
            message += f" {found['limit'].replace('of length', 'with length')}"
        if found["got"]:
            message += f", not {_TYPES.get(found['got'], found['got'])}"
        hint = None if found["limit"] else _hint_choices(kind, where)
        return InvalidParams(message, field=where or None, hint=hint, example=example)
    if text == _NO_DECIMAL:
        return InvalidParams(f"{subject} must be a number", field=where or None, example=example)
    if text in _OUT_OF_RANGE:
        # 1e400, which is more than any type can hold: what would do is said by the type of the member.
        expected = describe_member(kind, where)
        message = f"{subject} must be {expected}" if expected else f"{subject} is out of range"
        return InvalidParams(message, field=where or None, hint=_hint_choices(kind, where), example=example)
    word = text.partition(" ")[0]
    if where and word in list_fields(kind, inner=True):
        # A check of a whole object that says which member of it is wrong.
        text, where = f"{where}.{text}", f"{where}.{word}"
    elif where and not text.startswith(where):
        text = f"{where}: {text}"
    return InvalidParams(text[:_MESSAGE_CHARACTERS], field=where or None, example=example)


def _hint_choices(kind: Any, where: str) -> str | None:
    choices = list_choices(kind, where)
    return f"one of: {', '.join(choices)}" if choices else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word nearest to `word`, if one is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else None


def shortened(word: str) -> str:
    """A word of the caller's, cut to what fits into a message."""
    return word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "…"


def _short_number(text: str) -> int | None:
    """A whole number, or None for one that is too long to be anything but refused, and for fractions."""
    return int(text) if len(text) <= _SHORT_DIGITS and text.lstrip("-").isdigit() else None


# A float may be out of range (1e400), which is for the types to say.
_look = msgspec.json.Decoder(float_hook=lambda _: 0.0).decode


class _DuplicateKey(Exception):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _DuplicateKey


def _duplicate_key(document: bytes) -> InvalidJson:
    """The error about the first key that stands twice in one object of the document, which has one."""
    open_: list[set[str] | None] = []
    """The keys of each object that is not closed; None for an array."""
    before = ""
    for token in _TOKEN.finditer(document.decode()):
        text = token.group()
        if text in "{[":
            open_.append(set() if text == "{" else None)
        elif text in "}]":
            open_.pop()
        elif text not in ",:" and before in "{," and (keys := open_[-1]) is not None:
            key = json.loads(text)
            if key in keys:
                return InvalidJson(
                    f"the key {shortened(key)!r} stands twice in one object",
                    **_place_at(document.decode(), token.start()),
                    hint="keep one of them",
                )
            keys.add(key)
        before = text
    raise AssertionError("no key stands twice")


def _place(document: bytes, position: int) -> Place:
    """The place of a byte: columns count characters, as editors do."""
    text = document[:position].decode("utf-8", "replace")
    return _place_at(text, len(text))


def _place_at(text: str, position: int) -> Place:
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
            "the text is not valid UTF-8", **_place(document, error.start), hint="send UTF-8, or \\u escapes"
        )
    return InvalidJson("a \\u escape is half of a surrogate pair")


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
        return InvalidJson(f"not valid JSON: {error}", **_place(document, _position(message)))
    # The standard library is laxer than RFC 8259: where it finds nothing, msgspec's words must do.
    reason = re.sub(r"^JSON is malformed: | \(byte \d+\)", "", message)
    return InvalidJson(f"not valid JSON: {reason}", **_place(document, _position(message)))


def _position(message: str) -> int:
    """Where msgspec says that a document is broken."""
    found = re.search(r"byte (\d+)", message)
    return int(found[1]) if found else 0


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
