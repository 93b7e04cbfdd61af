"""The dashboard's files, without a browser: both languages say everything, and nothing leads elsewhere."""

import re

import pytest

from services.gateway.api.pages import FILES
from shared.domain.errors import InvalidParams
from shared.domain.passwords import check_new_password

APP = FILES / "app"
SCRIPTS = {path.name: path.read_text() for path in APP.glob("*.js")}
_PAIR = re.compile(r'^  "([^"]+)": \[\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)",?\s*\],$', re.MULTILINE)
TEXTS = {key: (english, spanish) for key, english, spanish in _PAIR.findall(SCRIPTS["texts.js"])}


def test_every_text_is_there_in_both_languages() -> None:
    assert len(TEXTS) == len(re.findall(r'^  "', SCRIPTS["texts.js"], re.MULTILINE)) > 100
    values = {key: [set(re.findall(r"\{\w+\}", text)) for text in pair] for key, pair in TEXTS.items()}
    assert {key: found for key, found in values.items() if found[0] != found[1]} == {}
    assert [key for key, pair in TEXTS.items() if not all(text.strip() for text in pair)] == []


def test_every_text_that_is_shown_is_there_and_every_other_is_shown() -> None:
    code = "".join(text for name, text in SCRIPTS.items() if name != "texts.js")
    named = set(re.findall(r'\bt\("([^"]+)"', code)) | set(re.findall(r'\? "([a-z_]+\.[a-z_.0-9]+)"', code))
    named |= set(re.findall(r': "([a-z_]+\.[a-z_.0-9]+)"', code))
    plurals = re.findall(r'\bplural\("([^"]+)"', code)
    named |= {f"{key}.{number}" for key in plurals for number in ("one", "many")}
    assert named - TEXTS.keys() == set()
    # Keys that are put together: the part before what varies.
    prefixes = tuple(re.findall(r"\bt\(`([a-z_.]+\.)\$\{", code))
    assert {key for key in TEXTS.keys() - named if not key.startswith(prefixes)} == set()


def test_the_states_have_their_own_names_in_spanish() -> None:
    for state in ("en cola", "en proceso", "listo", "fallido", "cancelado"):
        assert TEXTS[f"state.{state}"][1] == state


def test_no_file_names_another_address() -> None:
    for path in APP.iterdir():
        assert not re.search(r"https?:|[\"'`(]//", path.read_text()), path


def test_imports_lead_to_files_beside() -> None:
    for folder in (APP, FILES / "vendor"):
        for path in folder.rglob("*.js"):
            for target in re.findall(r'(?:\bfrom ?|\bimport\()"([^"]+)"', path.read_text()):
                assert target.startswith("."), (path, target)
                assert (path.parent / target).is_file(), (path, target)


@pytest.mark.parametrize(
    ("rule", "password"),
    [
        ("short", "seven"),
        ("long", "ab" * 200),
        ("repeats", "abcabcabcabc"),
        ("sequence", "abcdefghijkl"),
        ("personal", "ana@example.com"),
        ("frequent", "iloveyou123"),
    ],
)
def test_a_refused_password_is_explained_in_both_languages(rule: str, password: str) -> None:
    words = re.findall(r"^  (\w+): /(.+)/,$", SCRIPTS["signin.js"], re.MULTILINE)
    with pytest.raises(InvalidParams) as refused:
        check_new_password(password, minimum=8, frequent={"iloveyou"}, personal=["ana@example.com"])
    assert [found for found, pattern in words if re.search(pattern, refused.value.message)] == [rule]
    assert f"password.refused.{rule}" in TEXTS
