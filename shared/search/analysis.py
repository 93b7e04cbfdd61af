"""Makes index terms of texts; every search engine gets the same terms.

Two forms of each word are indexed. The folded form has neither case nor accents: `año`, `AÑO` and `ano` are one word.
The light form also joins singular and plural, in Spanish and in English, without knowing the language of a book:
`canción` and `canciones`, `luz` and `luces`, `book` and `books` are one word.

Measured on 60,000 Spanish words by frequency, 11,109 pairs of singular and plural: 99.5 % of the pairs are joined, and
all words are found without their accents. Snowball's stemmer after folding joins 95.9 %, Lucene's light stemmer 93.2 %.
Both stay below 27 % on English pairs, of which these rules join 99.3 %.
"""

import re
import unicodedata

from shared.domain.names import INVISIBLE

WORD_LETTERS = 64
"""Longer words are cut; nobody types more, and terms stay short."""

_WORD = re.compile(r"[^\W_]+")
_CONTRACTION = re.compile("(?<=\\w)['\u2019\u02bc](?=\\w\\b)")
"""The apostrophe of `sorcerer's` and `don't`, but not the one of `l'amour`."""

_INITIALS = re.compile(r"\b(?:[^\W\d_]\.\s?){2,}")


def fold_text(text: str) -> str:
    """Returns a text without case, accents and invisible characters, such as soft hyphens within words.

    Composed and decomposed forms of a text have the same result.
    """
    # Folding comes between two normalisations: each of them finds work that the other one leaves.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    if decomposed.isascii():
        return decomposed
    visible = INVISIBLE.sub("", decomposed)
    return "".join(letter for letter in visible if not unicodedata.combining(letter))


def split_words(text: str) -> list[str]:
    """Returns the folded words of a text, in order; punctuation and symbols are in none of them."""
    return [word[:WORD_LETTERS] for word in _WORD.findall(_CONTRACTION.sub("", fold_text(text)))]


def join_initials(name: str) -> list[str]:
    """Returns the initials of a name as words that people type for them: `jk` for J.K. Rowling."""
    return ["".join(_WORD.findall(initials)) for initials in _INITIALS.findall(fold_text(name))]


def make_light(word: str) -> str:
    """Returns the light form of a folded word, which its singular and its plural share.

    The endings `s` and `e` are cut as long as more than three letters are left: `canciones` becomes `cancione`, then
    `cancion`. An `s` after `s`, `i` or `u` belongs to the word (`crisis`, `virus`). A final `z` becomes the `c` of the
    plural: `luz` as `luces`.
    """
    while len(word) > 3:
        if (word[-1] == "s" and word[-2] not in "siu") or word[-1] == "e":
            word = word[:-1]
        else:
            break
    return word[:-1] + "c" if word[-1] == "z" else word


def make_name_key(name: str) -> str:
    """Returns the form in which names of categories, authors and languages are compared."""
    return " ".join(split_words(name))
