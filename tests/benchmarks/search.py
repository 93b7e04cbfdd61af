"""The search of books on tantivy: time on the processor, indexing, and how many misspelt titles are found.

`python -m tests.benchmarks.search --books 100000 --titles FILE.csv` prints the figures. The books of FILE come first,
with the columns of the data set goodbooks-10k; the others are made of their words by Zipf's law.
"""

import argparse
import asyncio
import csv
import itertools
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.search.analysis import split_words
from shared.search.pages import Pager
from shared.search.port import BookFilters, BookSearch, FacetDimension, Found, IndexedBook
from shared.search.tantivy.folders import TenantFolder
from shared.search.tantivy.index import TantivyBookIndex, TantivyOptions
from shared.search.tantivy.reader import IndexReader
from shared.search.tantivy.searches import BookSearcher
from shared.wire.cursors import Cursors

_WORDS = 20_000
_TITLE_WORDS = (2, 6)
_DESCRIPTION_WORDS = 25
_BATCH = 5_000
_QUERIES = 300
_EDITS = 30
_CATEGORIES = ["Novela", "Poesía", "Ensayo", "Historia", "Infantil", "Ciencia", "Arte", "Cocina"]
_FACETS: tuple[FacetDimension, ...] = ("category", "subcategory", "language", "price", "rating")
_CURSORS = Cursors(b"benchmark" * 4)
_FIRST = 20
_LONG_WORD = 8
"""A word of so many letters gets two typos in the harder test."""


class Times(NamedTuple):
    """Milliseconds on the processor."""

    name: str
    group: str
    """The kind of bar: `search`, `search with facets`, `suggestions`, or another."""
    median: float
    p99: float


class SearchFigures(NamedTuple):
    """Figures of one index."""

    books: int
    indexed: float
    """Books a second, until the index answers."""
    indexed_by_cpu: float
    """Books for each second of the processor."""
    mebibytes: float
    edit: Times
    """One edited book, until it is durable; milliseconds of wall time."""
    times: list[Times]
    recall: dict[str, float]
    """Misspelt titles that are found among the first twenty, by kind of typo."""


class Library:
    """Books that are the same in every run."""

    def __init__(self, count: int, titles: Path | None) -> None:
        self._chance = random.Random(18)
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(_WORDS)))
        self.count = count
        self.real = [] if titles is None else list(_read_books(titles))[:count]
        self._words = _list_words(self.real, self._chance)

    @property
    def frequent_words(self) -> list[str]:
        """The most frequent words of titles."""
        return self._words[:50]

    def make_batches(self) -> list[list[IndexedBook]]:
        """Returns all books, in batches."""
        books = itertools.chain(self.real, map(self.make_book, range(len(self.real), self.count)))
        return list(iter(lambda: list(itertools.islice(books, _BATCH)), []))

    def choose_words(self, count: int) -> str:
        """Some words, frequent ones more often."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=count))

    def make_book(self, number: int) -> IndexedBook:
        """Returns a made-up book."""
        chance = self._chance
        return IndexedBook(
            book=f"0190-{number:012x}",
            version=1,
            title=self.choose_words(chance.randint(*_TITLE_WORDS)).capitalize(),
            authors=(f"{self.choose_words(1)} {self.choose_words(1)}",),
            editorial=chance.choice(self._words[:200]),
            category=chance.choice(_CATEGORIES),
            subcategory=chance.choice(self._words[:60]),
            description=self.choose_words(_DESCRIPTION_WORDS),
            language=chance.choices(("es", "en", "pt"), (8, 2, 1))[0],
            price=chance.randint(500, 9000),
            publication_year=chance.randint(1900, 2026),
            rating=round(chance.uniform(1, 5), 2),
            ratings=int(chance.paretovariate(0.7)),
            stock=chance.randint(0, 30),
            created_at=1_700_000_000_000_000 + number * 1_000_000,
        )


def measure_search(count: int, titles: Path | None, *, queries: int = _QUERIES, edits: int = _EDITS) -> SearchFigures:
    """Makes an index of so many books, and measures it with so many edits, and so many queries of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), Library(count, titles), queries, edits))


async def _measure(root: Path, library: Library, queries: int, edits: int) -> SearchFigures:
    index = TantivyBookIndex(root, _CURSORS, TantivyOptions(commit_seconds=0))
    batches = library.make_batches()
    began, began_cpu = time.perf_counter(), time.process_time()
    await index.build("main", _iterate(batches), "0")
    indexed = library.count / (time.perf_counter() - began)
    indexed_by_cpu = library.count / (time.process_time() - began_cpu)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 2**20  # noqa: ASYNC240
    taken = []
    for number in range(edits):
        book = library.make_book(library.count + number)
        began = time.perf_counter()
        await index.apply("main", [book], str(number))
        taken.append((time.perf_counter() - began) * 1000)
    await index.close()
    reader = IndexReader(TenantFolder(root, "main"))
    searcher = BookSearcher(*reader.get_searcher())
    return SearchFigures(
        library.count,
        indexed,
        indexed_by_cpu,
        size,
        Times("edit", "edit", statistics.median(taken), max(taken)),
        list(_measure_queries(searcher, library, queries)),
        _measure_recall(searcher, library),
    )


async def _iterate(batches: Sequence[Sequence[IndexedBook]]) -> AsyncIterator[Sequence[IndexedBook]]:
    for batch in batches:
        yield batch


def _measure_queries(searcher: BookSearcher, library: Library, queries: int) -> Iterator[Times]:
    chance = random.Random(7)
    filters = BookFilters(
        price_from=1000, price_to=5000, year_from=1990, rating_from=3, languages=("es",), in_stock=True
    )

    def pair() -> str:
        return library.choose_words(2)

    def common() -> str:
        return chance.choice(library.frequent_words)

    def find(query: BookSearch) -> Found:
        return searcher.find_books(query, Pager(_CURSORS, "main", query))

    middle = find(BookSearch(sort="price", page=100)).next_cursor
    kinds: dict[str, tuple[str, Callable[[], object]]] = {
        "two words": ("search", lambda: find(BookSearch(text=pair()))),
        "a common word": ("search", lambda: find(BookSearch(text=common()))),
        "a typo in each word": ("search", lambda: find(BookSearch(text=misspell(pair(), chance, each=True)))),
        "a common word and six filters": ("search", lambda: find(BookSearch(text=common(), filters=filters))),
        "two words with facets": ("search with facets", lambda: find(BookSearch(text=pair(), facets=_FACETS))),
        "a common word with facets": ("search with facets", lambda: find(BookSearch(text=common(), facets=_FACETS))),
        "a common word, six filters, facets": (
            "search with facets",
            lambda: find(BookSearch(text=common(), filters=filters, facets=_FACETS)),
        ),
        "everything with facets": ("search with facets", lambda: find(BookSearch(facets=_FACETS))),
        "a common word with authors": ("authors", lambda: find(BookSearch(text=common(), facets=("author",)))),
        "a common word by price": ("search", lambda: find(BookSearch(text=common(), sort="price"))),
        "by price from a cursor": ("search", lambda: find(BookSearch(sort="price", cursor=middle))),
        "suggest": ("suggestions", lambda: searcher.complete_text([common()[: chance.randint(1, 5)]], 10)),
        "suggest, two words": ("suggestions", lambda: searcher.complete_text([common(), common()[:2]], 10)),
        "similar": ("similar", lambda: searcher.find_similar(library.choose_words(8), 10)),
    }
    for name, (group, query) in kinds.items():
        query()
        taken = []
        for _ in range(queries):
            began = time.process_time()
            query()
            taken.append((time.process_time() - began) * 1000)
        taken.sort()
        yield Times(name, group, taken[len(taken) // 2], taken[len(taken) * 99 // 100])


def _measure_recall(searcher: BookSearcher, library: Library) -> dict[str, float]:
    """Returns the share of misspelt titles of real books that are found among the first twenty."""
    chance = random.Random(300)
    named = [(book, re.sub(r"\(.*", "", book.title)) for book in library.real]
    usable = [(book, title) for book, title in named if 2 <= len(split_words(title)) <= 8 and title.isascii()]
    if not usable:
        return {}
    chosen = chance.sample(usable, min(300, len(usable)))
    recall = {}
    for name, each in (("one typo", False), ("a typo in each word", True)):
        found = 0
        for book, title in chosen:
            query = BookSearch(text=misspell(" ".join(split_words(title)), chance, each=each), limit=_FIRST)
            hits = searcher.find_books(query, Pager(_CURSORS, "main", query)).hits
            found += book.book in {hit.book for hit in hits}
        recall[name] = found / len(chosen)
    return recall


def misspell(text: str, chance: random.Random, *, each: bool) -> str:
    """Returns a text with a typo in one word of four letters or more, or in each: two in words of eight or more."""
    words = text.split()
    long = [number for number, word in enumerate(words) if len(word) >= 4]
    for number in long if each else chance.sample(long, min(1, len(long))):
        for _ in range(2 if each and len(words[number]) >= _LONG_WORD else 1):
            words[number] = _add_typo(words[number], chance)
    return " ".join(words)


def _add_typo(word: str, chance: random.Random) -> str:
    place, letter = chance.randrange(len(word) - 1), chance.choice("abcdefghijklmnopqrstuvwxyz")
    kind = chance.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + letter + word[place:]
    if kind == 2:
        return word[:place] + letter + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _list_words(books: Sequence[IndexedBook], chance: random.Random) -> list[str]:
    """Returns words by frequency: those of real titles, then made-up ones."""
    real = Counter(word for book in books for word in split_words(book.title) if not word.isdecimal())
    onsets = ["", *"bcdfghjlmnprstvz", "br", "ch", "cl", "cr", "dr", "fl", "gr", "gu", "ll", "pl", "pr", "qu", "tr"]
    syllables = [
        a + b + c for a in onsets for b in ("a", "e", "i", "o", "u", "ie", "ue") for c in ("", "", "n", "r", "s")
    ]
    words = {word: None for word, _ in real.most_common(_WORDS)}
    while len(words) < _WORDS:
        words["".join(chance.choices(syllables, k=chance.randint(2, 4)))] = None
    return list(words)


def _read_books(path: Path) -> Iterator[IndexedBook]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file)):
            yield IndexedBook(
                book=f"real-{number}",
                version=1,
                title=row["title"],
                authors=tuple(author.strip() for author in row["authors"].split(",")),
                language=row["language_code"],
                category=_CATEGORIES[number % len(_CATEGORIES)],
                price=500 + number * 7919 % 8500,
                publication_year=int(float(row["original_publication_year"] or 0)) or None,
                rating=float(row["average_rating"]),
                ratings=int(row["ratings_count"]),
                stock=number % 30,
                created_at=1_600_000_000_000_000 + number * 1_000_000,
            )


def print_figures(figures: SearchFigures) -> None:
    """Prints the figures as lines of a table."""
    lines = [
        f"{figures.books:,} books, {figures.mebibytes:.1f} MiB",
        f"{figures.indexed:,.0f} indexed/s, {figures.indexed_by_cpu:,.0f} for each second on the processor",
        f"{figures.edit.name:36} {figures.edit.median:8.2f} {figures.edit.p99:8.2f} ms wall, median and slowest",
        *(f"{times.name:36} {times.median:8.2f} {times.p99:8.2f} ms CPU, median and p99" for times in figures.times),
        *(f"{name:36} {share:8.3f} found among the first {_FIRST}" for name, share in figures.recall.items()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.search", description=__doc__)
    parser.add_argument("--books", type=int, default=100_000)
    parser.add_argument("--titles", type=Path, help="a file of real books")
    options = parser.parse_args()
    print_figures(measure_search(options.books, options.titles))


if __name__ == "__main__":
    main()
