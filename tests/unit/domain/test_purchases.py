"""Pricing of purchases, and the request ids of their orders."""

from decimal import Decimal
from typing import Any

import pytest

from shared.domain.books import Book
from shared.domain.carts import MAX_LINES, Cart, CartLine, line_members, merge_carts, read_cart
from shared.domain.errors import InvalidParams
from shared.domain.purchases import (
    OrderedPurchase,
    Purchase,
    clean_address,
    format_request_id,
    parse_request_id,
    price_line,
    sum_items,
)
from shared.domain.records import MAX_ACTIONS
from shared.domain.tenants import TenantRecord


@pytest.mark.parametrize(
    ("price", "quantity", "rate", "included", "sums"),
    [
        (1299, 3, "4", True, (3897, 3747, 150)),
        (1999, 1, "21", True, (1999, 1652, 347)),
        (166, 36, "20", False, (7171, 5976, 1195)),
        # Half a cent goes up.
        (250, 1, "5", False, (263, 250, 13)),
        (1000, 2, "0", True, (2000, 2000, 0)),
    ],
)
def test_tax_is_computed_by_line(
    price: int, quantity: int, rate: str, included: bool, sums: tuple[int, int, int]
) -> None:
    shop = TenantRecord("shop", "Shop", tax_rates={"*": "10", "Novela": rate}, prices_include_tax=included)
    line = price_line(Book(book="b", title="B", category="novela", price=price), quantity, shop)
    assert sum_items([line]) == sums
    assert Decimal(line.tax_rate) == Decimal(rate)
    total = sum_items([line, line, line])
    assert (total.total, total.tax) == (3 * line.subtotal, 3 * line.tax)
    assert total.total == total.net + total.tax


def test_an_order_names_its_purchase() -> None:
    ids = ("0" * 36, "f" * 36)
    purchase = Purchase(
        user=ids[0], purchase=ids[1], status="pending", total=1, net=1, tax=0, currency="ARS", exponent=2,
        payment_method="card", shipping_address={}, items=[], created_at="", updated_at="",
    )  # fmt: skip
    request_id = format_request_id("t" * 40, purchase)
    # The intake takes no longer ones.
    assert len(request_id) <= 128
    assert parse_request_id(request_id) == OrderedPurchase("t" * 40, *ids)
    for other in (None, 7, "x", "purchase/", "purchase/a/b", "purchase/a//c", "purchase/a/b/c/d", f"x{request_id}"):
        assert parse_request_id(other) is None


def test_a_checkout_of_a_full_cart_fits_into_a_transaction() -> None:
    assert 2 * MAX_LINES + 3 <= MAX_ACTIONS


def test_an_address_can_be_printed() -> None:
    address = {"street": " Nun\u0303ez 1\nPiso 2 ", "code": 2820, "floor": None, "note": " "}
    assert clean_address(address) == {"street": "Nuñez 1\nPiso 2", "code": 2820, "floor": None, "note": ""}


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ({"city": "a\x00b", "street": "Mayor 1"}, "shipping_address.city"),
        ({"city": "\u202eb"}, "shipping_address.city"),
        ({"ci\x1bty": "b"}, "a name in shipping_address"),
        ({" ": "b"}, "a name in shipping_address"),
        ({"street": "  ", "city": None}, "shipping_address"),
    ],
)
def test_another_address_names_its_field(address: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        clean_address(address)
    assert refused.value.field == field


def line(quantity: int, at: str = "1") -> CartLine:
    return CartLine(quantity, at, at, 100)


def test_lines_are_read_oldest_first() -> None:
    item = {**line_members([("b", line(1, "2")), ("a", line(2, "3")), ("c", line(3, "1"))]), "lines": 3, "expires": 9}
    cart = read_cart("ana", item, 4)
    assert (cart.owner, cart.version, list(cart.lines)) == ("ana", 4, ["c", "b", "a"])
    assert cart.lines["b"] == line(1, "2")
    assert read_cart("ana", None, 0) == Cart("ana", 0, {})


def test_merged_carts_add_up_to_their_limits() -> None:
    cart, guest = Cart("ana", 1, {"b": line(1), "c": line(1)}), Cart("guest:x", 1, {"a": line(1), "b": line(2)})
    merged = merge_carts(cart, guest, "now")
    assert {book: one.quantity for book, one in merged.lines.items()} == {"a": 1, "b": 3, "c": 1}
    full = Cart("ana", 1, {str(number): line(600) for number in range(MAX_LINES)})
    merged = merge_carts(full, Cart("guest:x", 1, {"7": line(600), "new": line(1)}), "now")
    assert (len(merged.lines), merged.lines["7"].quantity, merged.left_out) == (MAX_LINES, 999, ["new"])
