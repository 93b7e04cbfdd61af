"""Reads pickles without running code: an interpreter of the few opcodes that data needs.

Python's own unpickler calls any function that a pickle names. This one only calls the constructors listed here
and those of registered classes, with checked values. `pickletools` finds the opcodes without running any:
https://github.com/python/cpython/blob/main/Lib/pickletools.py
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
from shared.serialization.type_registry import Registry, build_object

_MARK: Final = object()


class _Constructor:
    """A permitted constructor on the stack; it is never part of the data."""

    def __init__(self, make: Callable[..., Any], takes: tuple[tuple[type, ...], ...]) -> None:
        self._make = make
        self._takes = takes

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        if tuple(map(type, arguments)) not in self._takes:
            raise InvalidParams("the pickle calls something with values that it cannot have")
        return self._make(*arguments)


class _RegisteredClass:
    """A registered class on the stack."""

    def __init__(self, kind: type) -> None:
        self.kind = kind


class _NewObject:
    """A placeholder on the stack for an object whose members are not known yet."""

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


def read_pickle(data: bytes, registry: Registry, *, depth: int, values: int) -> Any:
    """Returns the value of a pickle of protocol 2 or newer.

    Raises InvalidParams if it is broken, contains classes that are not in `registry`, is nested deeper than `depth`,
    contains itself, or has more than `values` values (repeated references count each time).
    """
    try:
        found = _Interpreter(registry, depth, values).interpret_pickle(data)
        _check_size(found, depth, values)
    except InvalidParams:
        raise
    except Exception as error:
        # Opcodes and constructors can raise almost any exception.
        raise InvalidParams(f"the pickle is broken: {error}") from None
    return found


class _Interpreter:
    def __init__(self, registry: Registry, depth: int, values: int) -> None:
        self._registry = registry
        self._depth = depth
        self._values = values
        self._stack: list[Any] = []
        # Not a list: a pickle can use any index.
        self._memo: dict[int, Any] = {}

    def interpret_pickle(self, data: bytes) -> Any:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if steps > 8 * self._values:
                raise InvalidParams(f"the pickle has more than {self._values} values")
            if opcode.name == "STOP":
                return _check_data(self._stack.pop()) if len(self._stack) == 1 else self._refuse_opcode("STOP")
            self._execute_opcode(opcode.name, argument)
        raise InvalidParams("the pickle has no end")

    def _refuse_opcode(self, name: str) -> None:
        raise InvalidParams(f"the pickle does what data does not need: {name}")

    def _execute_opcode(self, name: str, argument: Any) -> None:
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
            items = [_check_data(one) for one in stack[-count:]]
            if len(items) < count:
                self._refuse_opcode(name)
            stack[-count:] = [tuple(items)]
        elif name in ("TUPLE", "FROZENSET"):
            items = self._pop_to_mark()
            stack.append(tuple(items) if name == "TUPLE" else frozenset(map(self._check_key, items)))
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "GLOBAL":
            stack.append(self._find_constructor(argument))
        elif name not in ("PROTO", "FRAME"):
            self._execute_builder(name)

    def _execute_builder(self, name: str) -> None:
        """Executes opcodes that fill a container or build an object."""
        stack = self._stack
        match name:
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(self._find_constructor(f"{module} {attribute}"))
            case "APPEND" | "APPENDS":
                items = self._pop_to_mark() if name == "APPENDS" else [_check_data(stack.pop())]
                _check_type(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = (
                    self._pop_to_mark()
                    if name == "SETITEMS"
                    else [_check_data(one) for one in (stack.pop(-2), stack.pop())]
                )
                target = _check_type(stack[-1], dict)
                for key, value in zip(items[::2], items[1::2], strict=True):
                    target[self._check_key(key)] = value
            case "ADDITEMS":
                items = self._pop_to_mark()
                _check_type(stack[-1], set).update(map(self._check_key, items))
            case "REDUCE":
                arguments, called = _check_type(stack.pop(), tuple), stack.pop()
                stack.append(self._call_constructor(called, arguments))
            case "NEWOBJ":
                arguments, called = _check_type(stack.pop(), tuple), stack.pop()
                if (
                    not isinstance(called, _RegisteredClass)
                    or arguments
                    or issubclass(called.kind, enum.Enum | msgspec.Struct)
                ):
                    raise InvalidParams("the pickle makes an object of something that is no class of members")
                stack.append(_NewObject(called.kind))
            case "BUILD":
                self._build_object()
            case _:
                self._refuse_opcode(name)

    def _build_object(self) -> None:
        """Builds an object from its members; it replaces the placeholder on the stack and in the memo."""
        state, bare = _check_data(self._stack.pop()), self._stack.pop()
        if not isinstance(bare, _NewObject):
            raise InvalidParams("the pickle gives members to something that is no new object")
        if isinstance(state, tuple) and len(state) == 2 and state[0] is None:
            # A class with slots has its state in the second element.
            state = state[1]
        made = build_object(bare.kind, state)
        self._stack.append(made)
        for place, kept in self._memo.items():
            if kept is bare:
                self._memo[place] = made

    def _call_constructor(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        if isinstance(called, _RegisteredClass):
            if issubclass(called.kind, enum.Enum) and len(arguments) == 1:
                return build_object(called.kind, arguments[0])
            if issubclass(called.kind, msgspec.Struct):
                names = called.kind.__struct_fields__
                return build_object(called.kind, dict(zip(names, arguments, strict=True)))
        if isinstance(called, _Constructor):
            arguments = tuple(list(map(self._check_key, one)) if type(one) is list else one for one in arguments)
            return called(arguments)
        raise InvalidParams("the pickle calls something that data does not need")

    def _find_constructor(self, name: str) -> Any:
        if name in _CONSTRUCTORS:
            return _CONSTRUCTORS[name]
        module, _, attribute = name.partition(" ")
        return _RegisteredClass(self._registry.get_type(f"{module}:{attribute}"))

    def _pop_to_mark(self) -> list[Any]:
        """Pops all items down to the last mark."""
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise InvalidParams("the pickle has no mark where one is needed")
        items = [_check_data(one) for one in self._stack[place + 1 :]]
        del self._stack[place:]
        return items

    def _check_key(self, key: Any) -> Any:
        """Checks the size of a value before it is hashed: hashing visits a shared part once for each reference."""
        if isinstance(key, tuple | frozenset):
            _check_size(key, self._depth, self._values)
        return key


def _check_data(value: Any) -> Any:
    """Returns an item of the stack that is data. Raises InvalidParams for marks, classes and placeholders."""
    if value is _MARK or isinstance(value, _Constructor | _RegisteredClass | _NewObject):
        raise InvalidParams("the pickle takes for data what is none")
    return value


def _check_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise InvalidParams(f"the pickle takes something for a {kind.__name__} that is none")
    return value


def _check_size(root: Any, depth: int, values: int) -> None:
    """Raises InvalidParams for a value that is too deep, too large, or contains itself."""
    known: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()
    todo = [root]
    while todo:
        value = todo[-1]
        own = id(value)
        if own in known:
            todo.pop()
            continue
        parts = _list_parts(value)
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


def _list_parts(value: Any) -> list[Any]:
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
