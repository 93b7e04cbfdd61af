"""Orders from what people type."""

from decimal import Decimal
from pathlib import Path

import pytest

from clients.cli.order_input import looks_like_quantity, parse_objects, parse_product, read_objects
from clients.errors import ClientError

ORDER = {"cliente": "a", "productos": ["x"], "direccion": "d"}


def test_products_with_quantity_and_price() -> None:
    assert parse_product("pan de molde") == "pan de molde"
    assert parse_product("agua:2") == {"producto": "agua", "cantidad": 2}
    assert parse_product("agua:2:0.80") == {"producto": "agua", "cantidad": 2, "precio": "0.80"}
    assert parse_product("Echo Dot:8") == {"producto": "Echo Dot", "cantidad": 8}
    assert parse_product("Menu: 2nd course:3") == {"producto": "Menu: 2nd course", "cantidad": 3}


@pytest.mark.parametrize(
    "name", ["TV 16:9", "TV 16:9:2", "Ratio: wide", "a:b", "10:30", ":2", "agua:", "agua::2", "agua:dos"]
)
def test_colon_that_is_no_quantity_is_a_part_of_the_name(name: str) -> None:
    assert parse_product(name) == name


def test_name_that_could_be_a_quantity_is_noticed() -> None:
    assert [text for text in ("iPhone 15:2", "TV 16:9:1.50", "a:b", "agua", "10:x") if looks_like_quantity(text)] == [
        "iPhone 15:2",
        "TV 16:9:1.50",
    ]


def test_any_product_can_be_written_as_json() -> None:
    product = parse_product('{"producto":"iPhone 15","cantidad":2,"precio":799.990}')
    assert product == {"producto": "iPhone 15", "cantidad": 2, "precio": Decimal("799.990")}
    with pytest.raises(ClientError, match="twice"):
        parse_product('{"producto":"x","producto":"y"}')


@pytest.mark.parametrize("text", ["agua:2x", "agua:2:caro", "a:1:2:3", "agua:-2", "agua:2.5", "agua:2:", "agua:2:1_0"])
def test_wrong_product_is_told(text: str) -> None:
    with pytest.raises(ClientError) as caught:
        parse_product(text)
    assert text in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}\n{"a": 2}\n',
        '\ufeff{"a": 1}\r\n\r\n{"a": 2}',
        '[{"a": 1}, {"a": 2}]',
    ],
)
def test_file_holds_lines_or_an_array(text: str) -> None:
    assert [one.members for one in parse_objects(text.encode(), "file")] == [{"a": 1}, {"a": 2}]


def test_file_with_one_order_over_several_lines() -> None:
    assert [one.members for one in parse_objects(b'{\n"a": 1\n}', "file")] == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "place"), [('{"a": 1}\n{"a"\n', "file, line 2"), ("[1]", "order 1"), ("7\n", "order 1")]
)
def test_wrong_file_is_told_by_line(text: str, place: str) -> None:
    with pytest.raises(ClientError) as caught:
        parse_objects(text.encode(), "file")
    assert place in caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"a":1,"a":2}', "stands twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":"\\ud800","productos":["x"]}', "surrogate"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
        (b'{"a":1e1000000000000000000000}', "out of range"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":1}\n{"a":1,"a":2}', "file, line 2"),
        (b"", "file"),
    ],
)
def test_file_is_read_as_strictly_as_the_server_reads(text: bytes, told: str) -> None:
    with pytest.raises(ClientError) as caught:
        parse_objects(text, "file")
    assert told in caught.value.message


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="cannot be read"):
        read_objects(str(tmp_path / "none"))
