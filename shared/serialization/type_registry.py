"""Registered classes, and the construction of their objects from data, without running code that a sender names."""

import dataclasses
import enum
from typing import Any

import msgspec

from shared.domain.errors import InvalidParams

_OWN_WAYS = ("__setstate__", "__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__")


class Registry:
    """The registered classes: enums, dataclasses, msgspec structs, and classes with plain attributes.

    Subclasses are not included. Raises TypeError for a class that customizes its pickling.
    """

    def __init__(self, *classes: type) -> None:
        self._by_name: dict[str, type] = {}
        for kind in classes:
            if not issubclass(kind, enum.Enum | msgspec.Struct):
                for way in _OWN_WAYS:
                    if getattr(kind, way, None) is not getattr(object, way, None):
                        raise TypeError(f"{kind.__qualname__} has its own {way}: it cannot be registered")
            self._by_name[_type_name(kind)] = kind

    def name_of(self, kind: type) -> str | None:
        """Returns the registered name of a class; None if it is not registered."""
        name = _type_name(kind)
        return name if self._by_name.get(name) is kind else None

    def get_type(self, name: Any) -> type:
        """Returns the class of this name. Raises InvalidParams."""
        found = self._by_name.get(name) if isinstance(name, str) else None
        if found is None:
            shown = str(name)[:80]
            raise InvalidParams(f"no class {shown!r} is registered", hint="both sides register the same classes")
        return found


NOTHING = Registry()
"""An empty registry."""


def build_object(kind: type, state: Any) -> Any:
    """Builds an object of a registered class from an enum's value or from members by name. Raises InvalidParams."""
    try:
        if issubclass(kind, enum.Enum):
            return kind(state)
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise InvalidParams(f"{kind.__qualname__} is made of members by their names")
        if issubclass(kind, msgspec.Struct):
            return kind(**state)
        if dataclasses.is_dataclass(kind):
            return _build_dataclass(kind, state)
        return _build_plain(kind, state)
    except (TypeError, ValueError) as error:
        raise InvalidParams(f"no {kind.__qualname__} can be made of this: {error}") from None


def _build_dataclass(kind: type, state: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if not state.keys() <= fields.keys():
        raise InvalidParams(f"{kind.__qualname__} has the members {', '.join(fields)}")
    # The constructor runs the checks of the class; then fields that it computes get their values as sent.
    made = kind(**{name: value for name, value in state.items() if fields[name].init})
    for name, value in state.items():
        if not fields[name].init:
            object.__setattr__(made, name, value)
    return made


def _build_plain(kind: type, state: dict[str, Any]) -> Any:
    for name in state:
        if not name.isidentifier() or name.startswith("__") or hasattr(kind, name):
            raise InvalidParams(f"{name[:40]!r} cannot be an attribute of a {kind.__qualname__}")
    made: Any = object.__new__(kind)
    made.__dict__.update(state)
    return made


def _type_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
