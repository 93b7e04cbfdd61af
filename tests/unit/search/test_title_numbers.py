"""Titles as numbers, by which tantivy finds the next page of titles."""

from hypothesis import given
from hypothesis import strategies as st

from shared.search.fields import make_fields
from shared.search.tantivy.schema import number_title
from tests.support.books import make_book

TITLES = st.text("az 09ñ\u4e16éZ", max_size=30) | st.text(max_size=30)


@given(TITLES, TITLES)
def test_numbers_sort_like_the_titles(one: str, other: str) -> None:
    first, second = sorted(make_fields(make_book(name, title)).by_title for name, title in (("a", one), ("b", other)))
    assert number_title(first) <= number_title(second)
    assert max(*number_title(first), *number_title(second)) < 2**64


def test_the_first_24_bytes_differ_in_the_numbers() -> None:
    assert number_title("a" * 23 + "b") < number_title("a" * 23 + "c")
    assert number_title("a" * 24 + "b") == number_title("a" * 24 + "c")
    assert number_title("a\x1fb1") < number_title("a b\x1fb0")
    assert number_title("война и ми") < number_title("война и мир") < number_title("война и мы")
