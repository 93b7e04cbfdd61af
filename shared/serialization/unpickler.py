"""Reads pickles without running them: an interpreter of the few opcodes that data needs.

Python's own unpickler calls what the pickle names. This one calls nothing but the constructors listed here
and those of registered classes, each with checked values. Opcodes are found by `pickletools`, which runs
nothing either: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import dataclasses
import datetime
import enum
import pickletools
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.domain.errors import InvalidParams
from shared.serialization.type_registry import Registry, build

_MARK: Final = object()


class _Constructor:
    """What a pickle may call, as it stands on the stack; it is never a part of the data."""

    def __init__(self, make: Callable[..., Any], takes: tuple[tuple[type, ...], ...]) -> None:
        self._make = make
        self._takes = takes

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        if tuple(map(type, arguments)) not in self._takes:
            raise InvalidParams("the pickle calls something with values that it cannot have")
        return self._make(*arguments)


class _Class:
    """A registered class on the stack."""

    def __init__(self, kind: type) -> None:
        self.kind = kind


class _Bare:
    """An object that has not been given its members yet: a place for the one that will be made."""

    def __init__(self, kind: type) -> None:
        self.kind = kind


_CONSTRUCTORS = {
    "datetime datetime": _Constructor(datetime.datetime, ((bytes,), (bytes, datetime.timezone))),
    "datetime date": _Constructor(datetime.date, ((bytes,),)),
    "datetime time": _Constructor(datetime.time, ((bytes,), (bytes, datetime.timezone))),
    "datetime timedelta": _Constructor(datetime.timedelta, ((int, int, int),)),
    "datetime timezone": _Constructor(datetime.timezone, ((datetime.timedelta,), (datetime.timedelta, str))),
    "decimal Decimal": _Constructor(Decimal, ((str,),)),
    "builtins set": _Constructor(set, ((list,),)),
    "builtins frozenset": _Constructor(frozenset, ((list,),)),
    "builtins bytearray": _Constructor(bytearray, ((bytes,), ())),
    "builtins complex": _Constructor(complex, ((float, float),)),
}

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_VALUES = frozenset(
    {
        "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT",
        "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
        "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    }
)  # fmt: skip
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def unpickle(data: bytes, registry: Registry, *, depth: int, values: int) -> Any:
    """The value of a pickle of protocol 2 or newer.

    Raises InvalidParams for one that is broken, holds other classes than those of `registry`, is nested deeper than
    `depth`, holds itself, or has more than so many values, each counted as often as it stands there.
    """
    try:
        found = _Interpreter(registry, depth, values).run(data)
        _measure(found, depth, values)
    except InvalidParams:
        raise
    except Exception as error:
        # What its opcodes and the constructors of its values raise is without end.
        raise InvalidParams(f"the pickle is broken: {error}") from None
    return found


class _Interpreter:
    def __init__(self, registry: Registry, depth: int, values: int) -> None:
        self._registry = registry
        self._depth = depth
        self._values = values
        self._stack: list[Any] = []
        # Not a list: a pickle can name any place in it.
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if steps > 8 * self._values:
                raise InvalidParams(f"the pickle has more than {self._values} values")
            if opcode.name == "STOP":
                return _data(self._stack.pop()) if len(self._stack) == 1 else self._refuse("STOP")
            self._do(opcode.name, argument)
        raise InvalidParams("the pickle has no end")

    def _refuse(self, name: str) -> None:
        raise InvalidParams(f"the pickle does what data does not need: {name}")

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "BYTEARRAY8":
            stack.append(bytearray(argument))
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = [_data(one) for one in stack[-count:]]
            if len(items) < count:
                self._refuse(name)
            stack[-count:] = [tuple(items)]
        elif name in ("TUPLE", "FROZENSET"):
            items = self._marked()
            stack.append(tuple(items) if name == "TUPLE" else frozenset(map(self._key, items)))
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "GLOBAL":
            stack.append(self._named(argument))
        elif name not in ("PROTO", "FRAME"):
            self._fill(name)

    def _fill(self, name: str) -> None:
        """Opcodes that put something into something else, or make an object."""
        stack = self._stack
        match name:
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(self._named(f"{module} {attribute}"))
            case "APPEND" | "APPENDS":
                items = self._marked() if name == "APPENDS" else [_data(stack.pop())]
                _of(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._marked() if name == "SETITEMS" else [_data(one) for one in (stack.pop(-2), stack.pop())]
                target = _of(stack[-1], dict)
                for key, value in zip(items[::2], items[1::2], strict=True):
                    target[self._key(key)] = value
            case "ADDITEMS":
                items = self._marked()
                _of(stack[-1], set).update(map(self._key, items))
            case "REDUCE":
                arguments, called = _of(stack.pop(), tuple), stack.pop()
                stack.append(self._called(called, arguments))
            case "NEWOBJ":
                arguments, called = _of(stack.pop(), tuple), stack.pop()
                if not isinstance(called, _Class) or arguments or issubclass(called.kind, enum.Enum | msgspec.Struct):
                    raise InvalidParams("the pickle makes an object of something that is no class of members")
                stack.append(_Bare(called.kind))
            case "BUILD":
                self._build()
            case _:
                self._refuse(name)

    def _build(self) -> None:
        """Gives an object its members: the one that is made takes the place of the bare one everywhere."""
        state, bare = _data(self._stack.pop()), self._stack.pop()
        if not isinstance(bare, _Bare):
            raise InvalidParams("the pickle gives members to something that is no new object")
        if isinstance(state, tuple) and len(state) == 2 and state[0] is None:
            # Of a class with slots.
            state = state[1]
        made = build(bare.kind, state)
        self._stack.append(made)
        for place, kept in self._memo.items():
            if kept is bare:
                self._memo[place] = made

    def _called(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        if isinstance(called, _Class):
            if issubclass(called.kind, enum.Enum) and len(arguments) == 1:
                return build(called.kind, arguments[0])
            if issubclass(called.kind, msgspec.Struct):
                names = called.kind.__struct_fields__
                return build(called.kind, dict(zip(names, arguments, strict=True)))
        if isinstance(called, _Constructor):
            arguments = tuple(list(map(self._key, one)) if type(one) is list else one for one in arguments)
            return called(arguments)
        raise InvalidParams("the pickle calls something that data does not need")

    def _named(self, name: str) -> Any:
        if name in _CONSTRUCTORS:
            return _CONSTRUCTORS[name]
        module, _, attribute = name.partition(" ")
        return _Class(self._registry.named(f"{module}:{attribute}"))

    def _marked(self) -> list[Any]:
        """Takes everything down to the last mark."""
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise InvalidParams("the pickle has no mark where one is needed")
        items = [_data(one) for one in self._stack[place + 1 :]]
        del self._stack[place:]
        return items

    def _key(self, key: Any) -> Any:
        """A value that is about to be hashed, which has no memory: one that stands twice is hashed twice."""
        if isinstance(key, tuple | frozenset):
            _measure(key, self._depth, self._values)
        return key


def _data(value: Any) -> Any:
    """Something of the stack as a part of the data. Raises InvalidParams for what is none."""
    if value is _MARK or isinstance(value, _Constructor | _Class | _Bare):
        raise InvalidParams("the pickle takes for data what is none")
    return value


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise InvalidParams(f"the pickle takes something for a {kind.__name__} that is none")
    return value


def _measure(root: Any, depth: int, values: int) -> None:
    """Raises InvalidParams for a value that is too deep, too large, or holds itself."""
    known: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()
    todo = [root]
    while todo:
        value = todo[-1]
        own = id(value)
        if own in known:
            todo.pop()
            continue
        parts = _parts(value)
        if own not in open_:
            if len(open_) > depth:
                raise InvalidParams(f"the pickle is nested more than {depth} levels deep")
            open_.add(own)
            for part in parts:
                if id(part) in open_:
                    raise InvalidParams("the pickle holds itself")
                if id(part) not in known:
                    todo.append(part)
            continue
        todo.pop()
        open_.discard(own)
        below = [known[id(part)] for part in parts]
        known[own] = (1 + max((one[0] for one in below), default=0), 1 + sum(one[1] for one in below))
        if known[own][0] > depth + 1:
            raise InvalidParams(f"the pickle is nested more than {depth} levels deep")
        if known[own][1] > values:
            raise InvalidParams(f"the pickle has more than {values} values")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, enum.Enum | uuid.UUID):
        return []
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return list(vars(value).values()) if hasattr(value, "__dict__") else []
