"""The rules for new passwords."""

import pytest

from shared.domain.errors import InvalidParams
from shared.domain.passwords import check_new_password, normalize_password

FREQUENT = frozenset({"password", "dragon", "iloveyousomuch123", "correct horse battery"})
PERSONAL = ("ana.garcia@example.com", "Ana", "García", "libros-sur")


def check(text: str, minimum: int = 15) -> str:
    return check_new_password(text, minimum=minimum, frequent=FREQUENT, personal=PERSONAL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("quince menos una"[:14], "fewer than 15"),
        ("123456789012345", "sequence"),
        ("987654321098765", "sequence"),
        ("abcdefghijklmnop", "sequence"),
        ("qwertyuiopasdfgh", "sequence"),
        ("x" * 15, "repeats"),
        ("abcabcabcabcabca", "repeats"),
        ("Abc1Abc1Abc1Abc1", "repeats"),
        ("passwordpassword", "repeats"),
        ("ana.garcia@example.com", "consists of"),
        ("ANA.GARCIA@EXAMPLE.COM", "consists of"),
        ("ana García 2026!", "consists of"),
        ("libros-sur-12345", "consists of"),
        ("ILoveYouSoMuch123", "attackers"),
        ("!!password202611", "attackers"),
        ("x" * 257, "more than 256"),
        ("\U0001f600" * 257, "more than 256"),
    ],
)
def test_a_weak_password_is_refused_with_the_rule(text: str, reason: str) -> None:
    with pytest.raises(InvalidParams, match=reason) as refused:
        check(text)
    assert refused.value.field == "password"
    assert text not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "la casa del ñandú azul" + " y el río" * 4 + " ancho",
        "correct horse battery staple",
        "Ana tiene nueve gatos verdes",
        "\u00e1rbol de la esquina",
        "3.14159265358979",
        "\U0001f600\U0001f601 dos caras y un perro",
    ],
)
def test_passphrases_of_any_characters_are_accepted(text: str) -> None:
    assert check(text) == text


def test_the_minimum_is_counted_in_characters() -> None:
    assert check("árboles!", 8) == "árboles!"
    with pytest.raises(InvalidParams, match="fewer than 8"):
        check("árboles", 8)


def test_a_password_is_the_same_from_every_keyboard() -> None:
    assert normalize_password("cafe\u0301 \uff41bc") == normalize_password("caf\u00e9 abc")


def test_the_length_is_checked_before_the_normalisation() -> None:
    # One such character becomes 18.
    assert len(normalize_password("\ufdfa" * 256)) == 18 * 256
    with pytest.raises(InvalidParams, match="more than 256"):
        normalize_password("\ufdfa" * 257)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidParams, match="Unicode"):
        normalize_password("\ud800 and more than that")
