"""Words as they are indexed and searched for."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.search.analysis import join_initials, make_light, make_name_key, split_words
from shared.search.queries import parse_text, spelling_distance

SPANISH = """
    canción canciones, luz luces, año años, niño niños, joven jóvenes, imagen imágenes, mujer mujeres, voz voces,
    árbol árboles, ciudad ciudades, clase clases, noche noches, corazón corazones, rey reyes, papel papeles, red redes,
    país países, inglés ingleses, libro libros, historia historias, crimen crímenes, leyenda leyendas, cuento cuentos,
    poeta poetas, amor amores, flor flores, animal animales, viaje viajes, sueño sueños, mar mares, sol soles, pez peces
"""
ENGLISH = "book books, class classes, house houses, game games, story storys, witch witches, box boxes, life lifes"


@pytest.mark.parametrize("pair", [pair.split() for pair in f"{SPANISH}, {ENGLISH}".split(",")], ids=" ".join)
def test_singular_and_plural_are_one_word(pair: list[str]) -> None:
    one, many = (make_light(split_words(word)[0]) for word in pair)
    assert one == many


@pytest.mark.parametrize(
    "pair",
    [pair.split() for pair in ["casa caso", " luna lunes", " virus viru", " tesis tesi", " glass glas", " sal sala"]],
)
def test_other_words_stay_apart(pair: list[str]) -> None:
    one, other = map(make_light, pair)
    assert one != other


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("La canción", ["la", "cancion"]),
        ("Sorcerer's", ["sorcerers"]),
        ("Don\u2019t l\u2019amour", ["dont", "l", "amour"]),
        ("ﬁn ½ Straße İstanbul", ["fin", "1", "2", "strasse", "istanbul"]),
        ("Harry_Potter-7:#1", ["harry", "potter", "7", "1"]),
        ("c++ (C#)", ["c", "c"]),
        ("©♭ ¿? ** \u0301", []),
        ("Война и миръ", ["воина", "и", "миръ"]),
        ("x" * 300, ["x" * 64]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text(max_size=50))
def test_forms_of_a_text_have_the_same_words(text: str) -> None:
    words = split_words(text)
    assert split_words(unicodedata.normalize("NFC", text)) == split_words(unicodedata.normalize("NFD", text))
    assert all(word and " " not in word for word in words)
    assert [make_light(word) for word in words if not make_light(word)] == []
    assert make_name_key(make_name_key(text)) == make_name_key(text)


@pytest.mark.parametrize(
    ("name", "initials"),
    [("J.K. Rowling", ["jk"]), ("J. R. R. Tolkien", ["jrr"]), ("E. Zola", []), ("Ana Gil", []), ("H.G.Wells", ["hg"])],
)
def test_initials(name: str, initials: list[str]) -> None:
    assert join_initials(name) == initials


def test_spelling_distances() -> None:
    assert [spelling_distance(word) for word in ("el", "luz", "canto", "cantos", "1984")] == [0, 1, 1, 2, 0]


@pytest.mark.parametrize(
    ("text", "isbn"),
    [
        ("0-8044-2957-X", "9780804429573"),
        ("080442957x", "9780804429573"),
        ("978 84 376 0494 7", "9788437604947"),
        ("1234567890123", None),
        ("123456789", None),
        ("isbn 9788437604947", None),
    ],
)
def test_texts_that_are_an_isbn(text: str, isbn: str | None) -> None:
    assert parse_text(text).isbn == isbn
