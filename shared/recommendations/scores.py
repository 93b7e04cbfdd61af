"""Scores of books for a user, from how often they were bought together with those that the user has.

Item-item cosine, weighted by how rare the known book is, and shrunk: without that, one chance pair of two rare books
would have the highest score. Hit rate and rank on real baskets are measured by `python -m clients shop evaluate`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

_SHRINKAGE: Final = 5
"""Pairs at which half of the cosine counts."""


class Pair(NamedTuple):
    """Books that were bought together with a known one."""

    book: str
    together: int
    """Purchases with both."""
    purchases: int
    """Purchases with `book`."""


class PairCounts(Protocol):
    """Counts of the purchases of a shop."""

    def count_purchases(self) -> int:
        """Returns the number of purchases."""
        ...

    def count_book(self, book: str) -> int:
        """Returns the number of purchases with a book."""
        ...

    def list_pairs(self, book: str) -> Iterable[Pair]:
        """Returns the books that were bought together with a book; the most frequent ones if there are many."""
        ...


def score_books(known: Mapping[str, float], counts: PairCounts) -> dict[str, float]:
    """Returns scores of the books that were bought together with known ones, which have weights up to 1."""
    total = counts.count_purchases()
    scores: Counter[str] = Counter()
    for book, weight in known.items():
        count = counts.count_book(book)
        if not count:
            continue
        rarity = math.log(total / count)
        for pair in counts.list_pairs(book):
            if pair.book not in known:
                cosine = pair.together / math.sqrt(count * pair.purchases)
                shrunk = cosine * pair.together / (pair.together + _SHRINKAGE)
                scores[pair.book] += weight * rarity * shrunk  # type: ignore[assignment] # a Counter of floats
    return dict(scores)


def rank_books(scores: Mapping[str, float]) -> list[str]:
    """Returns books by their scores, the best first; those of equal score in a fixed order."""
    return sorted((book for book, score in scores.items() if score > 0), key=lambda book: (-scores[book], book))


class BasketCounts:
    """Counts of baskets in memory."""

    def __init__(self, baskets: Iterable[Sequence[str]] = ()) -> None:
        self._baskets = 0
        self.books: Counter[str] = Counter()
        """Baskets by book."""
        self._pairs: dict[str, Counter[str]] = {}
        for basket in baskets:
            self.add(basket)

    def add(self, basket: Sequence[str]) -> None:
        """Counts a basket."""
        books = set(basket)
        self._baskets += 1
        self.books.update(books)
        for book in books:
            self._pairs.setdefault(book, Counter()).update(books - {book})

    def count_purchases(self) -> int:
        return self._baskets

    def count_book(self, book: str) -> int:
        return self.books[book]

    def list_pairs(self, book: str) -> Iterable[Pair]:
        pairs = self._pairs.get(book, Counter[str]())
        return [Pair(other, together, self.books[other]) for other, together in pairs.items()]
