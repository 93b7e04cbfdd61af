"""Books: what clients may send, and when a book can be bought."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from shared.domain.books import (
    SHARDS,
    Book,
    BookChange,
    NewBook,
    check_book_change,
    check_new_book,
    is_for_sale,
    obstacle_to_sale,
    read_book,
    shard_of,
    split_authors,
)
from shared.domain.errors import InvalidParams

SENT = {
    "isbn": "0-439-02348-3",
    "title": "Cien años de soledad",
    "author": "Gabriel García Márquez",
    "editorial": "Sudamericana",
    "category": "Novela",
    "price": 12.99,
    "stock_quantity": 3,
}


def check(**changes: Any) -> dict[str, Any]:
    sent = msgspec.json.decode(msgspec.json.encode({**SENT, **changes}), type=NewBook)
    return check_new_book(sent, exponent=2, this_year=2026)


def test_a_book_is_stored_in_normal_form() -> None:
    found = check(title=" Cien an\u0303os ", price=12.5, rating=4.5, description="Uno\n\tdos")
    assert (found["isbn"], found["title"], found["price"]) == ("9780439023481", "Cien años", 1250)
    assert (found["rating"], found["description"], found["language"]) == (Decimal("4.5"), "Uno\n\tdos", "es")
    assert "stock_quantity" not in found
    assert "tenant_id" not in found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("isbn", "9780439023482"), ("title", "  "), ("title", "a\u0000b"), ("title", "a\u202eb"), ("author", "\n"),
        ("author", " , ;"), ("category", "\u200b"), ("price", 0), ("price", -1), ("price", 12.999), ("price", 1e300),
        ("rating", 5.01), ("rating", 4.333), ("rating", -1), ("publication_year", 2029),
        ("cover_image_url", "javascript:alert(1)"),
        ("cover_image_url", "//evil.example/x"), ("cover_image_url", "https://a b"), ("description", "a\u0007"),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidParams) as caught:
        check(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 501), ("stock_quantity", -1), ("stock_quantity", 1.5), ("stock_quantity", 10**10),
        ("pages", 0), ("language", "español"), ("language", "es\n"), ("publication_year", -5001), ("price", None),
        ("author", None), ("unknown", 1),
    ],
)  # fmt: skip
def test_types_and_lengths_are_checked_by_the_decoder(field: str, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        check(**{field: value})


def test_a_change_has_only_what_was_sent() -> None:
    sent = msgspec.json.decode(b'{"price": 9.5, "pages": null, "stock_quantity": 4}', type=BookChange)
    assert check_book_change(sent, exponent=2, this_year=2026) == {"price": 950, "pages": None}
    assert check_book_change(BookChange(), exponent=2, this_year=2026) == {}
    with pytest.raises(InvalidParams, match="title"):
        check_book_change(BookChange(title=" "), exponent=2, this_year=2026)


def test_one_function_decides_what_is_for_sale() -> None:
    book = Book(book="b", title="t", price=100)
    assert is_for_sale(book, 1)
    assert obstacle_to_sale(book, 1, 2) == "out_of_stock"
    assert obstacle_to_sale(msgspec.structs.replace(book, price=None), 1) == "no_price"
    assert obstacle_to_sale(msgspec.structs.replace(book, active=False), 1) == "not_listed"


def test_authors_are_taken_apart() -> None:
    assert split_authors("J.K. Rowling, Mary GrandPré; ,J.K. Rowling") == ["J.K. Rowling", "Mary GrandPré"]
    assert split_authors("") == []


def test_stored_books_are_read() -> None:
    assert read_book({"book": "b", "title": "t", "rating": Decimal("4.34"), "other": 1}).rating == Decimal("4.34")
    with pytest.raises(InvalidParams, match="not a book"):
        read_book({"book": "b", "title": 1})
    assert {shard_of(f"{number:032x}") for number in range(256)} == set(range(SHARDS))
