"""Names in their normal form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.names import name_key


@pytest.mark.parametrize(
    "spelling",
    [
        "Cafe\u0301",
        "CAFÉ",
        " café ",
        "caf\u200bé",
        "\ufeffCafé",
        "Caf\u00adé",
        "Café\u00a0",
    ],
)
def test_spellings_of_one_name_have_one_key(spelling: str) -> None:
    assert name_key(spelling) == "café"


@pytest.mark.parametrize(
    "spelling", ["Echo Dot", "echo dot", "Echo  Dot ", "Echo\u00a0Dot", "Echo\tDot", "\x00Echo Dot"]
)
def test_blanks_and_case_do_not_count(spelling: str) -> None:
    assert name_key(spelling) == "echo dot"


def test_case_is_folded_not_lowered() -> None:
    assert name_key("STRASSE") == name_key("Straße")


@pytest.mark.parametrize(("one", "other"), [("Café", "Cafe"), ("Echo Dot", "EchoDot"), ("ñ", "n"), ("1½", "11/2")])
def test_names_that_look_different_are_different(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u00a0\u3164", "\x00"])
def test_nothing_visible_is_no_name(name: str) -> None:
    assert name_key(name) == ""


@given(st.text(max_size=50))
def test_a_key_is_its_own_key(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)
