"""Orders from what people type."""

from pathlib import Path

import pytest

from clients.cli.orders import parse_orders, parse_product, read_orders
from clients.errors import ClientError

ORDER = {"cliente": "a", "productos": ["x"], "direccion": "d"}


def test_products_with_quantity_and_price() -> None:
    assert parse_product("pan de molde") == "pan de molde"
    assert parse_product("agua:2") == {"producto": "agua", "cantidad": 2}
    assert parse_product("agua:2:0.80") == {"producto": "agua", "cantidad": 2, "precio": "0.80"}


@pytest.mark.parametrize("text", ["agua:dos", "agua:2:caro", "a:1:2:3"])
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
    assert parse_orders(text, "file") == [{"a": 1}, {"a": 2}]


def test_file_with_one_order_over_several_lines() -> None:
    assert parse_orders('{\n"a": 1\n}', "file") == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "place"), [('{"a": 1}\n{"a"\n', "file, line 2"), ("[1]", "order 1"), ("7\n", "order 1")]
)
def test_wrong_file_is_told_by_line(text: str, place: str) -> None:
    with pytest.raises(ClientError) as caught:
        parse_orders(text, "file")
    assert place in caught.value.message


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="cannot be read"):
        read_orders(str(tmp_path / "none"))
