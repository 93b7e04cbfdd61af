"""Orders from documents: the fast way in takes exactly what the careful way takes."""

import datetime
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ComandaError, InvalidJson, InvalidParams
from shared.domain.orders import Item, OrderRequest, Priority
from shared.wire.orders import OrderDecoder, encode_order, encode_orders
from shared.wire.strict_json import parse_json

GOOD: dict[str, Any] = {"cliente": "Juan Pérez", "productos": ["pan"], "direccion": "Av. Siempre Viva 742"}


def careful(document: bytes) -> OrderRequest:
    parse_json(document)
    return OrderDecoder().decode_document(document)


def refused(document: bytes | dict[str, Any]) -> ComandaError:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    assert OrderDecoder().decode_block(data + b"\n") is None
    with pytest.raises(ComandaError) as caught:
        careful(data)
    return caught.value


def test_block_of_lines_is_one_list_of_orders() -> None:
    block = OrderDecoder().decode_block((json.dumps(GOOD) + "\n").encode() * 3)
    assert block is not None
    assert block.plain
    assert len(block.orders) == 3
    assert block.orders[0].customer == "Juan Pérez"


def test_all_fields_are_understood() -> None:
    products = ["pan", {"producto": "agua", "cantidad": 2, "precio": "0.80"}, {"producto": "sal", "precio": 1.5}]
    options = {"request_id": "r1", "prioridad": "alta", "no_antes_de": "2030-01-31T08:00:00+01:00"}
    block = OrderDecoder().decode_block(json.dumps(GOOD | {"productos": products} | options).encode())
    assert block is not None
    assert not block.plain
    (order,) = block.orders
    assert order.items == ["pan", Item("agua", 2, Decimal("0.80")), Item("sal", price=Decimal("1.5"))]
    assert order.priority is Priority.HIGH
    assert order.not_before == datetime.datetime(2030, 1, 31, 7, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("change", "field", "hint"),
    [
        ({"cliente": ""}, "cliente", None),
        ({"cliente": "   "}, "cliente", None),
        ({"cliente": "\u00a0\u2003"}, "cliente", None),
        ({"cliente": "\t"}, "cliente", None),
        ({"cliente": "x" * 201}, "cliente", None),
        ({"cliente": 7}, "cliente", None),
        ({"cliente": None}, "cliente", None),
        ({"productos": []}, "productos", None),
        ({"productos": "pan"}, "productos", None),
        ({"productos": [" "]}, "productos[0]", None),
        ({"productos": ["pan", 3]}, "productos[1]", None),
        ({"productos": [{"cantidad": 2}]}, "productos[0].producto", None),
        ({"productos": [{"producto": "x", "cantidad": 0}]}, "productos[0].cantidad", None),
        ({"productos": [{"producto": "x", "cantidad": 1.5}]}, "productos[0].cantidad", None),
        ({"productos": [{"producto": "x", "cantida": 2}]}, "productos[0].cantida", "did you mean cantidad?"),
        ({"productos": [{"producto": "x", "precio": -1}]}, "productos[0].precio", None),
        ({"productos": [{"producto": "x", "precio": "NaN"}]}, "productos[0].precio", None),
        ({"productos": [{"producto": "x", "precio": "0.0000001"}]}, "productos[0].precio", None),
        ({"productos": ["x"] * 1001}, "productos", None),
        ({"direccion": []}, "direccion", None),
        ({"prioridad": "urgente"}, "prioridad", "one of: alta, normal, baja"),
        ({"no_antes_de": "2030-01-31T08:00:00"}, "no_antes_de", None),
        ({"no_antes_de": "mañana"}, "no_antes_de", None),
        ({"request_id": ""}, "request_id", None),
        ({"request_id": 1.5}, "request_id", None),
        ({"client": "x"}, "client", "did you mean cliente?"),
    ],
)
def test_wrong_field_is_named(change: dict[str, Any], field: str, hint: str | None) -> None:
    error = refused(GOOD | change)
    assert isinstance(error, InvalidParams)
    assert error.field == field
    assert error.message
    assert hint is None or error.hint == hint


@pytest.mark.parametrize("name", ["cliente", "productos", "direccion"])
def test_missing_field_is_named_with_an_example(name: str) -> None:
    error = refused({key: value for key, value in GOOD.items() if key != name})
    assert (error.field, error.code) == (name, "invalid_params")
    assert error.example is not None


@pytest.mark.parametrize(
    ("document", "line", "column"),
    [
        (b'{"cliente":"a","cliente":"b","productos":["x"],"direccion":"d"}', 1, 16),
        (b'{"cliente":"a","\\u0063liente":"b","productos":["x"],"direccion":"d"}', 1, 16),
        ('{"cliente":"ñ","ñ":1,\n"ñandú":{"a":1,"b":"ñ","a":2}}'.encode(), 2, 24),
        ('{"ñandú":"ñ","x":\xff}'.encode("latin-1").replace(b"\xf1", "ñ".encode()), 1, None),
        (b'{"cliente":"a" ,"cliente" :"b","productos":["x"],"direccion":"d"}', 1, 17),
        (b'{"cliente":"a","productos":[{"producto":"x","producto":"y"}],"direccion":"d"}', 1, 45),
        (b'{"cliente":"a",\n"productos":["x",],"direccion":"d"}', 2, None),
        (b'{"cliente":"a","productos":["x"],"direccion":NaN}', None, None),
        (b'{"cliente":"a","productos":["x"],"direccion":"\\ud800"}', None, None),
        (b'{"cliente":"a","productos":["x"],"direccion":"\xff"}', 1, 47),
        (b'{"cliente":"a","productos":["x"],"direccion":"\x01"}', 1, None),
        (b'{"cliente":"a","productos":["x"],"direccion":1e999999999999}', None, None),
    ],
)
def test_what_is_not_strict_json_is_located(document: bytes, line: int | None, column: int | None) -> None:
    error = refused(document)
    assert isinstance(error, InvalidJson | InvalidParams)
    assert line is None or error.line == line
    assert column is None or error.column == column


def test_array_answers_for_each_member() -> None:
    members = OrderDecoder().decode_array(json.dumps([GOOD, 3, GOOD | {"cliente": " "}]).encode())
    assert isinstance(members[0], OrderRequest)
    assert [getattr(member, "field", "none") for member in members[1:]] == [None, "cliente"]


@pytest.mark.parametrize(
    "price", ["1e400", "-1", "0e1000000000000000000", "1" * 5000, '"abc"', '"\uff11"', "1.0000001", "[]"]
)
def test_a_price_that_cannot_be_costs_that_order_alone_and_names_its_place(price: str) -> None:
    odd = '{"cliente":"a","productos":["x",{"producto":"y","precio":' + price + '}],"direccion":"d"}'
    document = f"[{json.dumps(GOOD)},{odd},{json.dumps(GOOD)}]".encode()
    parse_json(document)
    first, wrong, last = OrderDecoder().decode_array(document)
    assert isinstance(first, OrderRequest)
    assert isinstance(last, OrderRequest)
    assert isinstance(wrong, InvalidParams)
    assert wrong.field == "productos[1].precio"
    assert wrong.message.startswith("productos[1].precio must")


def test_price_survives_to_the_last_digit() -> None:
    order = careful(json.dumps(GOOD | {"productos": [{"producto": "x", "precio": "123456789012.123456"}]}).encode())
    assert '"precio":123456789012.123456' in encode_order(order)
    assert msgspec.json.decode(encode_order(order), type=OrderRequest) == order
    assert encode_orders([order, order]) == [encode_order(order)] * 2


TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
FIELDS = st.sampled_from(["cliente", "productos", "direccion", "request_id", "prioridad", "no_antes_de", "otro"])
PRODUCT = TEXT | st.fixed_dictionaries({"producto": TEXT}, optional={"cantidad": st.integers(-1, 3), "x": TEXT})
ODD = st.one_of(TEXT, st.integers(), st.none(), st.lists(PRODUCT, max_size=3), st.sampled_from(["alta", "normal"]))


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Objects that are nearly orders, spelt in every way that JSON allows."""
    pairs: list[tuple[str, object]] = [("cliente", draw(TEXT)), ("productos", draw(st.lists(PRODUCT, max_size=3)))]
    pairs.append(("direccion", draw(TEXT)))
    pairs += draw(st.lists(st.tuples(FIELDS, ODD), max_size=2))
    colon = draw(st.sampled_from([":", ": ", " :", "\n:"]))
    escape = draw(st.booleans())

    def spell(value: object) -> str:
        return json.dumps(value, ensure_ascii=escape)

    members = [f"{spell(name)}{colon}{spell(value)}" for name, value in draw(st.permutations(pairs))]
    return ("{" + ", ".join(members) + "}").encode("utf-8", "surrogatepass")


@given(st.lists(documents(), min_size=1, max_size=3))
def test_fast_way_takes_only_what_the_careful_way_takes(made: list[bytes]) -> None:
    block = OrderDecoder().decode_block(b"\n".join(made) + b"\n")
    if block is None:
        return
    assert block.orders == [careful(document) for document in made]


@given(documents())
def test_duplicate_keys_and_blanks_never_get_in(document: bytes) -> None:
    pairs: list[tuple[str, Any]] = json.loads(document, object_pairs_hook=list)
    names = [name for name, _ in pairs]
    blank = any(
        isinstance(value, str) and name in ("cliente", "direccion") and not value.strip() for name, value in pairs
    )
    block = OrderDecoder().decode_block(document)
    if len(names) != len(set(names)) or blank:
        assert block is None
        with pytest.raises(ComandaError):
            careful(document)


@pytest.mark.parametrize("price", ['"1_000"', '" 1 "', '"\u0661"', '"1e"', '"NaN"'])
def test_text_that_is_no_json_number_is_no_price(price: str) -> None:
    document = f'{{"cliente":"a","productos":[{{"producto":"x","precio":{price}}}],"direccion":"d"}}'.encode()
    assert OrderDecoder().decode_block(document + b"\n") is None
    with pytest.raises(InvalidParams, match="precio"):
        OrderDecoder().decode_document(document)


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        (b'{"cliente":"a","producto":["x"],"direccion":"d"}', "did you mean productos?"),
        (b'{"cliente":"a","productos":[{"productos":"x"}],"direccion":"d"}', "did you mean producto?"),
        (b'{"%s":1}' % (b"z" * 200_000), "known fields: cliente, productos, direccion"),
    ],
)
def test_hint_names_a_field_of_the_same_object(document: bytes, hint: str) -> None:
    with pytest.raises(InvalidParams) as found:
        OrderDecoder().decode_document(document)
    assert (found.value.hint or "").startswith(hint)
    assert len(found.value.message) < 100
