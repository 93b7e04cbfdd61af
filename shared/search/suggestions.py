"""Makes completions of what a user types from the books that were found."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from shared.search.analysis import make_name_key, split_words
from shared.search.port import Suggestion


class NamedBook(Protocol):
    """A book as suggestions show it."""

    @property
    def book(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def authors(self) -> Sequence[str]: ...


def make_suggestions(books: Iterable[NamedBook], words: Sequence[str], limit: int) -> list[Suggestion]:
    """Returns the authors whose names the words begin, then the titles; each text once, at most `limit`."""
    books = list(books)
    authors: dict[str, Suggestion] = {}
    titles: dict[str, Suggestion] = {}
    for book in books:
        for author in book.authors:
            if _begins_name(words, author):
                authors.setdefault(make_name_key(author), Suggestion("author", author))
        titles.setdefault(make_name_key(book.title), Suggestion("book", book.title, book.book))
    return [*authors.values(), *titles.values()][:limit]


def _begins_name(words: Sequence[str], name: str) -> bool:
    *complete, last = words
    parts = split_words(name)
    return set(complete) <= set(parts) and any(part.startswith(last) for part in parts)
