"""ISBNs: one number for all ways to write it, and wrong ones refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidParams
from shared.domain.isbn import check_digit_10, complete_isbn, parse_isbn


@pytest.mark.parametrize(
    "text",
    [
        "0-439-02348-3", "0439023483", "978-0-439-02348-1", "9780439023481", " 978 0439023481 ",
        "978\u20110\u2011439\u201102348\u20111", "978\u00a00439023481",
    ],
)  # fmt: skip
def test_all_ways_to_write_a_number_are_one(text: str) -> None:
    assert parse_isbn(text) == "9780439023481"


def test_a_check_digit_can_be_ten() -> None:
    assert parse_isbn("080442957X") == parse_isbn("0-8044-2957-x") == "9780804429573"
    assert parse_isbn("979-8-88645-174-0") == "9798886451740"


@pytest.mark.parametrize(
    "text",
    [
        "", "439023483", "04390234831", "978043902348", "97804390234811", "X439023483", "9770439023481",
        "97804390234\u0661\u0661", "isbn 0439023483", "9" * 10_000, "9790060115615",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        parse_isbn(text)
    assert (caught.value.field, caught.value.message) == ("isbn", "isbn is not an ISBN")


@pytest.mark.parametrize("text", ["0439023484", "9780439023482", "0-8044-2957-1"])
def test_wrong_check_digits_are_refused(text: str) -> None:
    with pytest.raises(InvalidParams, match="check digit"):
        parse_isbn(text)


@given(st.text("0123456789", min_size=9, max_size=9))
def test_a_number_of_ten_digits_is_that_of_thirteen(digits: str) -> None:
    assert parse_isbn(digits + check_digit_10(digits)) == complete_isbn(f"978{digits}")


@given(st.text("0123456789", min_size=9, max_size=9), st.integers(0, 9), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(digits: str, place: int, change: int) -> None:
    right = complete_isbn(f"978{digits}")
    at = 3 + place
    wrong = right[:at] + str((int(right[at]) + change) % 10) + right[at + 1 :]
    with pytest.raises(InvalidParams):
        parse_isbn(wrong)
