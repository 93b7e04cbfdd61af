"""The files of the pages, without a browser: both languages say everything, and nothing leads elsewhere."""

import re
from pathlib import Path

import pytest

from services.gateway.api.pages import FILES

ROOT = Path(__file__).parents[2]
AREAS = ("lib", "admin", "shop")
CODE = {
    area: "".join(path.read_text() for path in (FILES / area).rglob("*.js") if path.parent.name != "texts")
    for area in AREAS
}
_REASON = re.compile(r"^\| `(\w+)` \|([^|]*)\|", re.MULTILINE)
_TEXT = re.compile(r'^  "([^"]+)":\s+"((?:[^"\\]|\\.)*)",$', re.MULTILINE)


def read_texts(area: str, language: str) -> dict[str, str]:
    """Returns the texts of an area in a language."""
    content = (FILES / area / "texts" / f"{language}.js").read_text()
    found = dict(_TEXT.findall(content))
    assert len(found) == len(re.findall(r'^  "', content, re.MULTILINE)), (area, language)
    return found


def named_keys(code: str) -> set[str]:
    """Returns the keys that code spells out."""
    named = set(re.findall(r'\bt\("([^"]+)"', code)) | set(re.findall(r'\? "([a-z_]+\.[a-z_.0-9]+)"', code))
    named |= set(re.findall(r': "([a-z_]+\.[a-z_.0-9]+)"', code))
    return named | {f"{key}.{form}" for key in re.findall(r'\bplural\("([^"]+)"', code) for form in ("one", "other")}


def prefixes(code: str) -> tuple[str, ...]:
    """Returns the beginnings of the keys that code puts together."""
    return tuple(re.findall(r"`([a-z_.]+\.)\$\{", code))


@pytest.mark.parametrize("area", AREAS)
def test_every_text_is_there_in_both_languages(area: str) -> None:
    english, spanish = read_texts(area, "en"), read_texts(area, "es")
    assert list(english) == list(spanish)
    for key, text in english.items():
        assert text.strip(), key
        assert spanish[key].strip(), key
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", spanish[key])), key


@pytest.mark.parametrize("area", AREAS)
def test_every_text_that_is_shown_is_there_and_every_other_is_shown(area: str) -> None:
    own, shared = set(read_texts(area, "en")), set(read_texts("lib", "en"))
    assert named_keys(CODE[area]) - own - shared == set()
    # Texts of the library may be shown by the apps alone.
    code = "".join(CODE.values()) if area == "lib" else CODE[area] + CODE["lib"]
    shown = named_keys(code)
    assert {key for key in own - shown if not key.startswith(prefixes(code))} == set()
    if area != "lib":
        assert own & shared == set()


def test_the_states_have_their_own_names_in_spanish() -> None:
    for state in ("en cola", "en proceso", "listo", "fallido", "cancelado"):
        assert read_texts("admin", "es")[f"state.{state}"] == state


def test_no_file_names_another_address() -> None:
    for area in AREAS:
        for path in (FILES / area).rglob("*.*"):
            # The names of vocabularies and formats are no addresses that a page asks for.
            content = re.sub(r"https://schema\.org|http://www\.w3\.org/2000/svg", "", path.read_text())
            assert not re.search(r"https?:|[\"'`(]//", content), path


def test_every_reason_of_a_refusal_is_told_in_both_languages() -> None:
    protocol = (ROOT / "docs" / "PROTOCOL.md").read_text()
    table = protocol.partition("| `code` | `params` | reason |")[2].partition("\n\n")[0]
    codes = {code: set(re.findall(r"`(\w+)`", params)) for code, params in _REASON.findall(table)}
    assert len(codes) > 50
    for language in ("en", "es"):
        texts = read_texts("lib", language)
        for code, params in codes.items():
            text = texts[f"problem.{code}"]
            # `seconds` comes with every refusal that asks to wait.
            assert set(re.findall(r"\{(\w+)\}", text)) <= params | {"seconds"}, code
