"""Descriptions of the members of document types, for the hints in error messages."""

import functools
import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

TIME = "a time such as 2030-01-31T08:00:00Z"
_INDEX = re.compile(r"\[[^\]]*\]")


def list_fields(kind: Any, *, inner: bool) -> list[str]:
    """Returns the field names of the struct `kind`, or with `inner` those of the structs it contains."""
    levels: tuple[list[str], list[str]] = ([], [])

    def visit_type(info: inspect.Type, depth: int) -> None:
        for part in _list_variants(info):
            if isinstance(part, inspect.StructType):
                for field in part.fields:
                    levels[min(depth, 1)].append(field.encode_name)
                    visit_type(field.type, depth + 1)

    visit_type(_type_info(kind), 0)
    return levels[inner]


def list_choices(kind: Any, where: str) -> list[str]:
    """Returns the possible values of the member at `where`: of its enum or literal, or the tags of its union."""
    found: dict[str, None] = {}
    for info in _member_types(kind, where):
        if isinstance(info, inspect.EnumType):
            found.update((str(one.value), None) for one in info.cls)
        elif isinstance(info, inspect.LiteralType):
            found.update((str(value), None) for value in info.values)
    return list(found)


def describe_member(kind: Any, where: str) -> str:
    """Returns the expected type of the member at `where` in the protocol's terms; empty if it is not known."""
    return " or ".join(dict.fromkeys(map(_describe_type, _member_types(kind, where))))


def _member_types(kind: Any, where: str) -> list[inspect.Type]:
    """Returns the types of all members with the name of the one at `where`; a tag is a literal."""
    member = _INDEX.sub("", where.rpartition(".")[2])
    found: list[inspect.Type] = []

    def visit_type(info: inspect.Type, name: str) -> None:
        for part in _list_variants(info):
            if name == member:
                found.append(part)
            if isinstance(part, inspect.StructType):
                if part.tag_field == member:
                    found.append(inspect.LiteralType((part.tag,)))
                for field in part.fields:
                    visit_type(field.type, field.encode_name)

    if member:
        visit_type(_type_info(kind), "")
    return found


# Inspecting a type takes longer than building the rest of an error, and the number of types is fixed.
_type_info = functools.cache(inspect.type_info)


def _list_variants(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yields the variants of a type without metadata: the members of a union, or of a list."""
    match info:
        case inspect.Metadata(type=described):
            yield from _list_variants(described)
        case inspect.ListType(item_type=item):
            yield from _list_variants(item)
        case inspect.UnionType(types=types):
            for part in types:
                yield from _list_variants(part)
        case _:
            yield info


def _describe_type(info: inspect.Type) -> str:
    """Returns the protocol's term for a value of the type."""
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
