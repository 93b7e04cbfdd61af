"""What the types of documents say of their members, for errors that tell what would be right."""

import functools
import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

TIME = "a time such as 2030-01-31T08:00:00Z"
_INDEX = re.compile(r"\[[^\]]*\]")


def list_fields(kind: Any, *, inner: bool) -> list[str]:
    """Field names of the struct that `kind` is, or with `inner` of those that it holds."""
    levels: tuple[list[str], list[str]] = ([], [])

    def visit(info: inspect.Type, depth: int) -> None:
        for part in _parts(info):
            if isinstance(part, inspect.StructType):
                for field in part.fields:
                    levels[min(depth, 1)].append(field.encode_name)
                    visit(field.type, depth + 1)

    visit(_type_info(kind), 0)
    return levels[inner]


def list_choices(kind: Any, where: str) -> list[str]:
    """What the member at `where` can be: the values of its enum or literal, or the tags that say what an object is."""
    found: dict[str, None] = {}
    for info in _member_types(kind, where):
        if isinstance(info, inspect.EnumType):
            found.update((str(one.value), None) for one in info.cls)
        elif isinstance(info, inspect.LiteralType):
            found.update((str(value), None) for value in info.values)
    return list(found)


def describe_member(kind: Any, where: str) -> str:
    """What the member at `where` has to be, in the protocol's words; empty for one that is not known."""
    return " or ".join(dict.fromkeys(map(_describe, _member_types(kind, where))))


def _member_types(kind: Any, where: str) -> list[inspect.Type]:
    """The types that the members named as the one at `where` can have; a tag is a literal."""
    member = _INDEX.sub("", where.rpartition(".")[2])
    found: list[inspect.Type] = []

    def visit(info: inspect.Type, name: str) -> None:
        for part in _parts(info):
            if name == member:
                found.append(part)
            if isinstance(part, inspect.StructType):
                if part.tag_field == member:
                    found.append(inspect.LiteralType((part.tag,)))
                for field in part.fields:
                    visit(field.type, field.encode_name)

    if member:
        visit(_type_info(kind), "")
    return found


# Looking a type up takes longer than all the rest of an error, and there are only so many.
_type_info = functools.cache(inspect.type_info)


def _parts(info: inspect.Type) -> Iterator[inspect.Type]:
    """What a type can be, without its description: the members of a union, or of a list."""
    match info:
        case inspect.Metadata(type=described):
            yield from _parts(described)
        case inspect.ListType(item_type=item):
            yield from _parts(item)
        case inspect.UnionType(types=types):
            for part in types:
                yield from _parts(part)
        case _:
            yield info


def _describe(info: inspect.Type) -> str:
    """What a value of the type is, in the protocol's words."""
    match info:
        case inspect.IntType(ge=int() as low, le=int() as high):
            return f"a whole number from {low} to {high}"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType() | inspect.DecimalType():
            return "a number"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.StructType() | inspect.DictType():
            return "an object"
        case inspect.DateTimeType():
            return TIME
        case _:
            return "text"
