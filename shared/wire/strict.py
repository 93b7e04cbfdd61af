"""Strict JSON into typed structs, with errors that say what, where and how to mend it.

This is the careful way in: it is taken by documents that the fast way (`shared.wire.orders`) refused,
and by everything that is not an order.
"""

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from shared.domain.errors import InvalidJson, InvalidParams, Place

_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`(?: (?P<limit>.+?))?(?:, got `(?P<got>[^`]+)`)?$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+)`$", re.DOTALL)
_ENUM = re.compile(r"Invalid enum value (?P<value>.+)$")
_SHOWN_CHARACTERS = 40
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "datetime": "a time such as 2030-01-31T08:00:00Z",
}


def parse(document: bytes) -> Any:
    """Decodes one document of strict JSON (RFC 8259); floats lose precision, so use it to look, not to keep.

    Raises InvalidJson with line and column for anything else: duplicate keys, NaN, lone surrogates,
    invalid UTF-8 and raw control characters included.
    """
    try:
        value = msgspec.json.decode(document)
    except UnicodeDecodeError:
        raise _not_utf8(document) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _syntax_error(document, str(error)) from None
    try:
        # Numbers are not kept here: very long ones would cost more to convert than to refuse.
        json.loads(document, object_pairs_hook=_unique, parse_int=len, parse_float=len)
    except _DuplicateKey as error:
        position = _second_position(document, error.key)
        raise InvalidJson(
            f"the key {shortened(error.key)!r} stands twice in one object",
            **_place(document, position),
            hint="keep one of them",
        ) from None
    return value


def convert(document: bytes, kind: Any, *, example: Any = None) -> Any:
    """Decodes a document that `parse` has found to be strict JSON into `kind`.

    Raises InvalidParams naming the field, with the nearest known name for an unknown one.
    """
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.ValidationError as error:
        raise explain(str(error), kind, example=example) from None
    except msgspec.DecodeError as error:
        raise _syntax_error(document, str(error)) from None


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
        known = _known_fields(kind, inner=bool(where))
        return InvalidParams(
            f"{name} is not a known field",
            field=name,
            hint=did_you_mean(word, known) or f"known fields: {', '.join(known)}",
            example=example,
        )
    subject = where or "the document"
    if found := _ENUM.match(text):
        message = f"{subject} must not be {found['value']}"
        hint = f"one of: {', '.join(_enum_values(kind))}"
        return InvalidParams(message, field=where or None, hint=hint, example=example)
    if found := _EXPECTED.match(text):
        expected = " or ".join(_TYPES.get(name.strip(), name.strip()) for name in found["expected"].split("|"))
        message = f"{subject} must be {expected}"
        if found["limit"]:
            message += f" {found['limit'].replace('of length', 'with length')}"
        if found["got"]:
            message += f", not {_TYPES.get(found['got'], found['got'])}"
        return InvalidParams(message, field=where or None, example=example)
    if where and not text.startswith(where):
        text = f"{where}: {text}"
    return InvalidParams(text, field=where or None, example=example)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word nearest to `word`, if one is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else None


def shortened(word: str) -> str:
    """A word of the caller's, cut to what fits into a message."""
    return word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "…"


def _known_fields(kind: Any, *, inner: bool) -> list[str]:
    """Field names of the struct that `kind` is, or with `inner` of those that it holds."""
    levels: tuple[list[str], list[str]] = ([], [])

    def visit(info: msgspec.inspect.Type, depth: int) -> None:
        match info:
            case msgspec.inspect.StructType(fields=fields):
                for field in fields:
                    levels[min(depth, 1)].append(field.encode_name)
                    visit(field.type, depth + 1)
            case msgspec.inspect.ListType(item_type=item):
                visit(item, depth)
            case msgspec.inspect.UnionType(types=types):
                for part in types:
                    visit(part, depth)

    visit(msgspec.inspect.type_info(kind), 0)
    return levels[inner]


def _enum_values(kind: Any) -> list[str]:
    values: list[str] = []

    def visit(info: msgspec.inspect.Type) -> None:
        match info:
            case msgspec.inspect.StructType(fields=fields):
                for field in fields:
                    visit(field.type)
            case msgspec.inspect.EnumType(cls=cls):
                values.extend(str(member.value) for member in cls)
            case msgspec.inspect.UnionType(types=types):
                for part in types:
                    visit(part)

    visit(msgspec.inspect.type_info(kind))
    return values


class _DuplicateKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique(pairs: list[tuple[str, Any]]) -> None:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise _DuplicateKey(key)
        keys.add(key)


def _second_position(document: bytes, key: str) -> int:
    spelled = json.dumps(key, ensure_ascii=False).encode("utf-8", "surrogatepass")
    first = document.find(spelled)
    return max(document.find(spelled, first + 1), 0)


def _place(document: bytes, position: int) -> Place:
    return {
        "line": document.count(b"\n", 0, position) + 1,
        "column": position - (document.rfind(b"\n", 0, position) + 1) + 1,
    }


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
    except (ValueError, RecursionError) as error:
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
