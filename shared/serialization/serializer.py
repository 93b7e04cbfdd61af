"""Serializes Python values as text or bytes: typed JSON for plain data, signed pickles for all other values.

    serialize(data)                                          typed JSON, as text
    serialize(data, method="hybrid", pickles=mine)           the same, with pickles in it only where they are needed
    serialize(data, method="pickle", pickles=mine)           one signed pickle, as bytes
    serialize(data, method="pickle_base64", pickles=mine)    the same as text

JSON's own types are encoded as they are. Each other value is a tagged object: {"$": KIND, "v": VALUE}.
"""

import base64
import binascii
import dataclasses
import datetime
import enum
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, overload

import msgspec

from shared.domain.errors import InvalidParams
from shared.serialization.signed_pickles import Pickles
from shared.serialization.type_registry import NOTHING, Registry, build_object

Method = Literal["json", "pickle", "pickle_base64", "hybrid"]

MAX_DEPTH = 64
_TAG, _VALUE = "$", "v"
_NAMED = "object"
_PICKLE = "pickle"
_encode = msgspec.json.Encoder().encode
_WHOLE = 2**63


@overload
def serialize(
    data: Any,
    method: Literal["json", "pickle_base64", "hybrid"] = "json",
    *,
    registry: Registry = NOTHING,
    pickles: Pickles | None = None,
) -> str: ...


@overload
def serialize(
    data: Any, method: Literal["pickle"], *, registry: Registry = NOTHING, pickles: Pickles | None = None
) -> bytes: ...


@overload
def serialize(
    data: Any, method: Method, *, registry: Registry = NOTHING, pickles: Pickles | None = None
) -> str | bytes: ...


def serialize(
    data: Any, method: Method = "json", *, registry: Registry = NOTHING, pickles: Pickles | None = None
) -> str | bytes:
    """Returns a value as text, or as bytes for the method pickle. `registry` has the classes that are encoded by name.

    Raises InvalidParams with the path of a value that the method cannot encode.
    """
    match method:
        case "json":
            return _encode(_ValueEncoder(registry, None).encode_value(data, "data", 0)).decode()
        case "hybrid":
            return _encode(_ValueEncoder(registry, pickles).encode_value(data, "data", 0)).decode()
        case "pickle":
            return _require_pickles(pickles).dumps(data)
        case "pickle_base64":
            return base64.b64encode(_require_pickles(pickles).dumps(data)).decode()
    raise InvalidParams(f"there is no method {method!r}", field="method", hint="json, pickle, pickle_base64 or hybrid")


def deserialize(
    data: str | bytes, method: Method = "json", *, registry: Registry = NOTHING, pickles: Pickles | None = None
) -> Any:
    """Returns the value that `serialize` encoded with the same method.

    Raises InvalidParams for data that `serialize` cannot have produced, and Unauthorized for pickles without a trusted
    signature, before any of their content is read.
    """
    match method:
        case "json":
            return _ValueDecoder(registry, None).decode_value(_decode_json(data), 0)
        case "hybrid":
            return _ValueDecoder(registry, pickles).decode_value(_decode_json(data), 0)
        case "pickle":
            if isinstance(data, str):
                raise InvalidParams("a pickle is bytes, not text", hint="text is of the method pickle_base64")
            return _require_pickles(pickles).loads(data)
        case "pickle_base64":
            return _require_pickles(pickles).loads(_decode_base64(data))
    raise InvalidParams(f"there is no method {method!r}", field="method", hint="json, pickle, pickle_base64 or hybrid")


def _require_pickles(pickles: Pickles | None) -> Pickles:
    if pickles is None:
        raise InvalidParams("pickle is off", field="encoding", hint="it takes a key on both sides: PICKLE_KEY")
    return pickles


def _decode_json(data: str | bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidParams(f"this is not typed JSON: {error}", hint="send what serialize has made") from None


def _decode_base64(data: bytes | str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParams("this is not base64", hint="send what serialize has made") from None


_PLAIN: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime.datetime: ("datetime", lambda value: value.isoformat()),
    datetime.date: ("date", lambda value: value.isoformat()),
    datetime.time: ("time", lambda value: value.isoformat()),
    datetime.timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    bytearray: ("bytearray", lambda value: base64.b64encode(value).decode()),
}
"""Kinds that contain no other values, by their exact type."""

_FROM_PLAIN: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda value: datetime.timedelta(*value),
    "decimal": Decimal,
    "uuid": uuid.UUID,
    "bytes": lambda value: base64.b64decode(value, validate=True),
    "bytearray": lambda value: bytearray(base64.b64decode(value, validate=True)),
    "float": float,
    "int": int,
    "text": lambda value: base64.b64decode(value, validate=True).decode("utf-8", "surrogatepass"),
}

_HOLDERS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": lambda pairs: {key: value for key, value in pairs},  # noqa: C416
}


class _ValueEncoder:
    """Encodes values as JSON; a value that JSON cannot represent becomes a pickle if `pickles` is given."""

    def __init__(self, registry: Registry, pickles: Pickles | None) -> None:
        self._registry = registry
        self._pickles = pickles

    def encode_value(self, value: Any, path: str, depth: int) -> Any:  # noqa: PLR0911 -- one for each kind of value
        if depth > MAX_DEPTH:
            raise InvalidParams(f"{path[:80]} is nested more than {MAX_DEPTH} levels deep", field=path[:80])
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -_WHOLE <= value < _WHOLE else _tag_value("int", str(value))
        if kind is float:
            return value if math.isfinite(value) else _tag_value("float", repr(value))
        if kind is str:
            return value if _is_clean(value) else _tag_value("text", _encode_surrogates(value))
        if kind in _PLAIN:
            name, of = _PLAIN[kind]
            return _tag_value(name, of(value))
        if kind is list:
            return self._encode_list(value, path, depth)
        if kind in (tuple, set, frozenset):
            return _tag_value(kind.__name__, self._encode_list(list(value), path, depth))
        if kind is dict:
            return self._encode_dict(value, path, depth)
        registered = self._registry.name_of(kind)
        if registered is not None and (state := _object_state(value)) is not None:
            return {**_tag_value(_NAMED, self.encode_value(state, path, depth + 1)), "name": registered}
        if self._pickles is not None:
            return _tag_value(_PICKLE, base64.b64encode(self._pickles.dumps(value)).decode())
        raise InvalidParams(
            f"{path[:80]} is a {kind.__qualname__}, which JSON cannot carry",
            field=path[:80],
            hint="register its class, or use the method hybrid with a key",
        )

    def _encode_list(self, values: list[Any], path: str, depth: int) -> list[Any]:
        return [self.encode_value(one, f"{path}[{number}]", depth + 1) for number, one in enumerate(values)]

    def _encode_dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        if all(type(key) is str and _is_clean(key) for key in value) and _TAG not in value:
            return {key: self.encode_value(one, f"{path}.{key}", depth + 1) for key, one in value.items()}
        pairs = [
            [
                self.encode_value(key, f"{path} (a key)", depth + 1),
                self.encode_value(one, f"{path}[{key!r}]", depth + 1),
            ]
            for key, one in value.items()
        ]
        return _tag_value("dict", pairs)


class _ValueDecoder:
    """Decodes values from JSON."""

    def __init__(self, registry: Registry, pickles: Pickles | None) -> None:
        self._registry = registry
        self._pickles = pickles

    def decode_value(self, value: Any, depth: int) -> Any:
        if depth > 2 * MAX_DEPTH:
            raise InvalidParams(f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, list):
            return [self.decode_value(one, depth + 1) for one in value]
        if not isinstance(value, dict):
            return value
        if _TAG not in value:
            return {key: self.decode_value(one, depth + 1) for key, one in value.items()}
        kind, inner = value[_TAG], value.get(_VALUE)
        try:
            return self._decode_tagged(kind, inner, value, depth)
        except (TypeError, ValueError, ArithmeticError, RecursionError, binascii.Error) as error:
            raise InvalidParams(f"{str(kind)[:40]!r} has a value that it cannot have: {error}") from None

    def _decode_tagged(self, kind: Any, inner: Any, value: Mapping[str, Any], depth: int) -> Any:
        if not isinstance(kind, str):
            raise InvalidParams("a kind has to be text")
        if kind in _FROM_PLAIN:
            return _FROM_PLAIN[kind](inner)
        if kind in _HOLDERS:
            if not isinstance(inner, list):
                raise InvalidParams(f"{kind} has to hold an array")
            return _HOLDERS[kind]([self.decode_value(one, depth + 1) for one in inner])
        if kind == _NAMED:
            found = self._registry.get_type(value.get("name"))
            return build_object(found, self.decode_value(inner, depth + 1))
        if kind == _PICKLE:
            return _require_pickles(self._pickles).loads(_decode_base64(inner))
        raise InvalidParams(f"there is no kind {kind[:40]!r}", hint="send what serialize has made")


def _tag_value(kind: str, value: Any) -> dict[str, Any]:
    return {_TAG: kind, _VALUE: value}


def _object_state(value: Any) -> Any:
    """Returns the state of a registered object: an enum's value, or members by name; None for other classes."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode_surrogates(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


class Serializer:
    """Serialization with the method names and formats of the programs that Comanda replaces.

    Their plain pickles are signed here, so pickles need `pickles`.
    """

    @staticmethod
    def serialize_hybrid(
        data: Any, use_pickle: bool = False, *, registry: Registry = NOTHING, pickles: Pickles | None = None
    ) -> dict[str, str]:
        """Returns `format` (`json` or `pickle`) and `data`, both text: a pickle where JSON cannot carry the value.

        With `use_pickle` it is always a pickle. Raises InvalidParams.
        """
        if not use_pickle:
            try:
                return {"format": "json", "data": serialize(data, registry=registry)}
            except InvalidParams:
                if pickles is None:
                    raise
        return {"format": "pickle", "data": serialize(data, "pickle_base64", pickles=pickles)}

    @staticmethod
    def deserialize_hybrid(
        serialized: Mapping[str, Any], *, registry: Registry = NOTHING, pickles: Pickles | None = None
    ) -> Any:
        """Returns the value that `serialize_hybrid` encoded. Raises InvalidParams and Unauthorized."""
        if not isinstance(serialized, Mapping):
            raise InvalidParams(
                "this is not an object with format and data", hint="send what serialize_hybrid has made"
            )
        data = serialized.get("data")
        if not isinstance(data, str):
            raise InvalidParams("data is missing", field="data", hint="it is text, made by serialize_hybrid")
        match serialized.get("format"):
            case "json":
                return deserialize(data, registry=registry)
            case "pickle":
                return deserialize(data, "pickle_base64", pickles=pickles)
        raise InvalidParams("format can only be json or pickle", field="format")
