"""Values as typed JSON and as signed pickles, there and back; and what is refused of others' bytes."""

import base64
import dataclasses
import datetime
import enum
import io
import json
import pickle
import struct
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidParams, Unauthorized
from shared.serialization.serializer import Method, Serializer, deserialize, serialize
from shared.serialization.signed_pickles import PickleLimits, Pickles
from shared.serialization.type_registry import Registry
from shared.serialization.unpickler import read_pickle

KEY = b"k" * 32


class Colour(enum.Enum):
    RED = "red"
    BLUE = ("b", 2)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    length: float = dataclasses.field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is below zero")


class Place(msgspec.Struct):
    name: str
    at: Point


class Loose:
    kind = "class"

    def method(self) -> str:
        return "its own"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Stranger:
    pass


REGISTRY = Registry(Colour, Point, Place, Loose)


def loose(**members: Any) -> Loose:
    made = Loose()
    vars(made).update(members)
    return made


def pickles(**options: Any) -> Pickles:
    return Pickles(KEY, **{"purpose": "test", "sender": "a", "registry": REGISTRY, **options})


def there_and_back(value: Any, method: Method) -> Any:
    mine = None if method == "json" else pickles()
    return deserialize(
        serialize(value, method, registry=REGISTRY, pickles=mine), method, registry=REGISTRY, pickles=mine
    )


PLAIN: list[Any] = [
    None,
    True,
    7,
    -(2**70),
    1.5,
    "ñ",
    b"\x00\xff",
    bytearray(b"x"),
    Decimal("1.50"),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 2),
    datetime.date(2026, 1, 2),
    datetime.time(3, 4, 5),
    datetime.timedelta(days=-1, seconds=5, microseconds=7),
    (1, ("a",), []),
    {1, 2},
    frozenset({(1, 2)}),
    {"a": [1, {"b": None}]},
    {1: "a", (1, 2): "b", None: "c"},
    {"$": "x", "v": 1},
    Colour.RED,
    Colour.BLUE,
    Point(1, 2),
    Place("here", Point(3)),
]


@pytest.mark.parametrize("method", ["json", "pickle", "pickle_base64", "hybrid"])
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_values_come_back_as_they_were(value: Any, method: Method) -> None:
    found = there_and_back(value, method)
    assert (found, type(found)) == (value, type(value))
    assert there_and_back([value, {"in": value}], method) == [value, {"in": value}]


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, float("inf"), uuid.UUID(int=5)])
def test_what_json_itself_cannot_say_travels_typed(value: Any) -> None:
    assert there_and_back(value, "json") == value


SINGLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES: st.SearchStrategy[Any] = st.recursive(
    SINGLE | st.decimals(allow_nan=False) | st.datetimes() | st.dates() | st.timedeltas(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(VALUES)
def test_any_plain_value_comes_back_by_every_method(value: Any) -> None:
    methods: tuple[Method, ...] = ("json", "pickle", "hybrid")
    for method in methods:
        assert there_and_back(value, method) == value


class Old(enum.Enum):
    """Pickled as Python 3.11.2 does it by itself."""

    ONE = 1

    def __reduce_ex__(self, _: Any) -> Any:
        return getattr, (Old, self.name)


def test_enums_are_pickled_by_value_whatever_python_does_by_itself() -> None:
    mine = pickles(registry=Registry(Old))
    value = [Old.ONE, {"in": Old.ONE}]
    assert deserialize(serialize(value, "pickle", pickles=mine), "pickle", pickles=mine) == value


def test_hybrid_pickles_only_what_it_has_to() -> None:
    value = {"plain": [1, 2], "odd": loose(a=1)}
    text = serialize(value, "hybrid", registry=REGISTRY, pickles=pickles())
    assert '"plain":[1,2]' in text
    assert text.count('"$":"pickle"') == 1
    assert there_and_back(value, "hybrid") == value
    assert "pickle" not in serialize({"plain": Point(1)}, "hybrid", registry=REGISTRY, pickles=pickles())


def test_everything_but_a_bare_pickle_is_text() -> None:
    value = {"ñ": [1]}
    assert serialize(value, method="json") == '{"ñ":[1]}'
    assert deserialize(serialize(value).encode()) == value
    assert json.loads(json.dumps(serialize(value, "pickle_base64", pickles=pickles())))
    assert isinstance(serialize(value, "hybrid"), str)
    assert isinstance(serialize(value, "pickle", pickles=pickles()), bytes)
    with pytest.raises(InvalidParams, match="bytes, not text"):
        deserialize("AAAA", "pickle", pickles=pickles())


def test_hybrid_methods_pickle_what_json_cannot_carry() -> None:
    plain = Serializer.serialize_hybrid({"a": [1, None], "at": datetime.date(2026, 1, 2)})
    assert (plain["format"], json.loads(plain["data"])["a"]) == ("json", [1, None])
    assert Serializer.deserialize_hybrid(plain) == {"a": [1, None], "at": datetime.date(2026, 1, 2)}
    mine = pickles()
    for packed in (
        Serializer.serialize_hybrid(loose(a=1), registry=REGISTRY, pickles=mine),
        Serializer.serialize_hybrid(loose(a=1), True, registry=REGISTRY, pickles=mine),
    ):
        assert packed["format"] == "pickle"
        assert Serializer.deserialize_hybrid(packed, registry=REGISTRY, pickles=mine) == loose(a=1)


@pytest.mark.parametrize(
    "packed",
    [
        None,
        {},
        {"format": "json"},
        {"format": "yaml", "data": "1"},
        {"format": "json", "data": "{"},
        {"format": "json", "data": "\ud800"},
        {"format": "pickle", "data": base64.b64encode(pickle.dumps(1)).decode()},
    ],
)
def test_hybrid_methods_refuse_what_they_have_not_made(packed: Any) -> None:
    with pytest.raises((InvalidParams, Unauthorized)):
        Serializer.deserialize_hybrid(packed)
    with pytest.raises((InvalidParams, Unauthorized)):
        Serializer.deserialize_hybrid(packed, pickles=pickles())
    with pytest.raises(InvalidParams, match="cannot carry"):
        Serializer.serialize_hybrid(loose(a=1))


def test_classes_that_are_not_registered_do_not_travel() -> None:
    with pytest.raises(InvalidParams, match=r"data\[0\] is a Stranger"):
        serialize([Stranger()])
    with pytest.raises(InvalidParams, match="is registered"):
        serialize(Stranger(), "pickle", pickles=pickles())
    with pytest.raises(InvalidParams, match="is registered"):
        deserialize(b'{"$":"object","name":"builtins:object","v":{}}')

    class Own:
        def __reduce__(self) -> Any:
            return (print, ())

    with pytest.raises(TypeError, match="its own __reduce__"):
        Registry(Own)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"\xff",
        b'{"$":"nothing","v":1}',
        b'{"$":1,"v":1}',
        b'{"$":"tuple","v":1}',
        b'{"$":"set","v":[[]]}',
        b'{"$":"dict","v":[[1]]}',
        b'{"$":"date","v":"today"}',
        b'{"$":"decimal","v":"x"}',
        b'{"$":"bytes","v":"?"}',
        b'{"$":"timedelta","v":[99999999999,0,0]}',
        b'{"$":"pickle","v":"AAAA"}',
        b"[" * 200 + b"]" * 200,
        b'{"$":"object","name":"%s:Point","v":{"x":-1,"y":0,"length":0}}' % __name__.encode(),
        b'{"$":"object","name":"%s:Point","v":{"x":1,"z":2}}' % __name__.encode(),
        b'{"$":"object","name":"%s:Colour","v":"green"}' % __name__.encode(),
        b'{"$":"object","name":"%s:Loose","v":{"method":1}}' % __name__.encode(),
        b'{"$":"object","name":"%s:Loose","v":{"__class__":1}}' % __name__.encode(),
    ],
)
def test_json_that_serialize_cannot_have_made_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidParams):
        deserialize(text, registry=REGISTRY)


# Signed pickles.


def test_pickle_is_off_without_a_key() -> None:
    methods: tuple[Method, ...] = ("pickle", "pickle_base64")
    for method in methods:
        with pytest.raises(InvalidParams, match="pickle is off"):
            serialize(1, method)
        with pytest.raises(InvalidParams, match="pickle is off"):
            deserialize(b"x", method)
    with pytest.raises(ValueError, match="needs 32"):
        Pickles(b"short", purpose="p", sender="s")


def test_payload_is_read_once_by_whom_it_is_for() -> None:
    reader = pickles(senders=frozenset({"b"}))
    payload = pickles(sender="b").dumps({"a": 1})
    assert reader.loads(payload) == {"a": 1}
    with pytest.raises(Unauthorized, match="read before"):
        reader.loads(payload)
    for other, why in (
        (pickles(purpose="another"), "is for 'test'"),
        (pickles(senders=frozenset({"c"})), "'b' are not read"),
        (Pickles(b"x" * 32, purpose="test", sender="a"), "not signed"),
    ):
        with pytest.raises(Unauthorized, match=why):
            other.loads(payload)


@given(st.integers(0, 1000), st.integers(1, 255))
def test_payload_that_was_changed_anywhere_is_not_looked_at(place: int, change: int) -> None:
    payload = bytearray(pickles().dumps([1, "two"]))
    payload[place % len(payload)] ^= change
    with pytest.raises(Unauthorized):
        pickles().loads(bytes(payload))


@pytest.mark.parametrize("cut", [0, 1, 10, 35, 60])
def test_payload_that_was_cut_is_not_looked_at(cut: int) -> None:
    with pytest.raises(Unauthorized):
        pickles().loads(pickles().dumps("x")[:cut])


def test_payload_holds_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr("shared.serialization.signed_pickles.time.time", lambda: now[0])
    reader, writer = pickles(), pickles()
    late = writer.dumps(1)
    now[0] += 31
    with pytest.raises(Unauthorized, match="over"):
        reader.loads(late)
    now[0] -= 60
    with pytest.raises(Unauthorized, match="has not come"):
        reader.loads(late)
    before = pickles().dumps(1)
    now[0] += 0.002
    with pytest.raises(Unauthorized, match="older than this service"):
        pickles().loads(before)


def test_payload_and_what_it_holds_are_bounded() -> None:
    small = pickles(limits=PickleLimits(payload_bytes=300, depth=5, values=50))
    with pytest.raises(InvalidParams, match="bytes"):
        small.dumps("x" * 1000)
    with pytest.raises(InvalidParams, match="bytes"):
        small.loads(b"x" * 1000)
    with pytest.raises(InvalidParams, match="levels"):
        small.dumps([[[[[[[1]]]]]]])
    with pytest.raises(InvalidParams, match="values"):
        small.dumps(list(range(60)))


# Attacks on the unpickler, all of them on bytes that were signed.


class Evil:
    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def attack(data: bytes) -> None:
    with pytest.raises(InvalidParams):
        read_pickle(data, REGISTRY, depth=32, values=10_000)


def op(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def named(module: str, attribute: str) -> bytes:
    return b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, attribute)) + b"\x93"


CLASS = named(__name__, "Loose")


@pytest.mark.parametrize(
    "reduced",
    [(eval, ("1+1",)), (exec, ("1",)), (__import__, ("os",)), (getattr, (Loose, "__init__")), (open, ("/dev/null",))],
    ids=["eval", "exec", "import", "getattr", "open"],
)
def test_calls_of_anything_are_refused(reduced: Any) -> None:
    attack(pickle.dumps(Evil(*reduced)))
    attack(pickle.dumps([1, {"in": Evil(*reduced)}], protocol=2))


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        op(named("os", "system"), b"\x8c\x04true\x85R"),
        op(named(__name__, "pickle.loads"), b"C\x01.\x85R"),
        op(named(__name__ + ".pickle", "loads"), b"C\x01.\x85R"),
        op(CLASS),
        op(CLASS, b"}\x8c\x06method\x8c\x01xsb"),
        op(CLASS, b")\x81}\x8c\x06method\x8c\x01xsb"),
        op(CLASS, b")\x81}\x8c\x09__class__\x8c\x01xsb"),
        op(CLASS, b")\x81}\x8c\x08__dict__}sb"),
        op(CLASS, b")\x81}K\x01K\x02sb"),
        op(CLASS, b")\x81N}\x8c\x06methodK\x01s\x86b"),
        op(CLASS, b")\x81\x94}\x8c\x01ah\x00sb"),
        op(CLASS, b"]\x85R"),
        op(CLASS, b"\x85."),
        op(b"]", CLASS, b"a"),
        op(b"}", CLASS, b"K\x01s"),
        op(named(__name__, "Point"), b")\x81}\x8c\x01xJ\xff\xff\xff\xffsb"),
        op(named(__name__, "Colour"), b"\x8c\x05green\x85R"),
        op(named(__name__, "Colour"), b")\x81"),
        op(named("datetime", "datetime"), b"K\x01\x85R"),
        op(named("datetime", "datetime"), b"C\x0a" + b"\xff" * 10 + b"\x85R"),
        op(named("decimal", "Decimal"), b"\x8c\x03abc\x85R"),
        op(b"r\xff\xff\xff\x7f"),
        op(b"Nr\xff\xff\xff\x7f", b"0"),
        op(b"j\xff\xff\xff\x7f"),
        op(b"]\x94h\x00a"),
        op(b"}\x94K\x01h\x00s"),
        op(b"\x8e" + struct.pack("<Q", 2**60) + b"x"),
        op(b"\x8b" + struct.pack("<i", 2**31 - 1)),
        op(b"(((((("),
        op(b"a"),
        op(b"K\x01K\x02"),
        op(b"K\x01b"),
        op(b"\x97"),
        op(b"Q"),
        op(b"\x8f(]\x90"),
        op(b"(]\x91"),
        b"",
        b".",
        b"\x80\x04",
        b"\xff" * 20,
        b"I1\n.",
    ],
)
def test_crafted_pickles_are_refused(data: bytes) -> None:
    attack(data)


def test_nested_tuples_that_are_hashed_are_refused_before_they_are() -> None:
    bomb = b")" + b"".join(b"\x94h" + bytes([level]) + b"\x86" for level in range(60))
    attack(op(b"}", bomb, b"K\x01s"))
    attack(op(b"(", bomb, b"\x91"))
    deep = b"]" + b"".join(b"\x94]h" + bytes([level]) + b"a" for level in range(100))
    attack(op(deep))
    attack(op(b"\x85" * 0 + b")" + b"\x85" * 100_000))


def test_many_small_values_are_refused() -> None:
    attack(pickle.dumps(list(range(20_000))))
    stream = io.BytesIO()
    pickle.Pickler(stream).dump([[0] * 200 for _ in range(100)])
    attack(stream.getvalue())


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_but_be_refused_or_be_data(data: bytes) -> None:
    try:
        found = read_pickle(b"\x80\x04" + data, REGISTRY, depth=32, values=1000)
    except InvalidParams:
        return
    assert not callable(found) or isinstance(found, Loose | Point)


def test_base64_is_checked() -> None:
    with pytest.raises(InvalidParams, match="base64"):
        deserialize(b"?", "pickle_base64", pickles=pickles())
    # What is made before a reader is there is refused: the reader comes first.
    reader = pickles()
    payload = base64.b64encode(pickles().dumps(1))
    assert deserialize(payload, "pickle_base64", pickles=reader) == 1
