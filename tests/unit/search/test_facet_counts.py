"""Facets of many books, counted in one pass, of few books, and of all of them by comparison: always the same."""

import random
from pathlib import Path

from shared.search.facets import NAME_FACETS, RANGE_FACETS
from shared.search.port import BookFilters, BookSearch, Facets
from shared.search.queries import list_conditions, parse_text
from shared.search.tantivy.counter import FacetCounter
from shared.search.tantivy.folders import TenantFolder
from shared.search.tantivy.index import TantivyBookIndex, TantivyOptions
from shared.search.tantivy.queries import QueryBuilder
from shared.search.tantivy.schema import make_schema
from shared.search.tantivy.writer import open_index
from shared.wire.cursors import Cursors
from tests.support.books import iterate_batches, make_book
from tests.support.memory_book_index import MemoryBookIndex

CURSORS = Cursors(b"k" * 32)
CATEGORIES = ["Novela", "Poesía", "Ciencia ficción", "¡!", ""]
AUTHORS = ["Ana Paz", "Eva Luz", "J.R. O'Neil"]
LANGUAGES = ["es", "en", ""]
YEARS = [None, -800, 0, 1950, 2020]


def choose_search(chance: random.Random) -> BookSearch:
    """Some filters, and some facets."""

    def some(names: list[str]) -> tuple[str, ...]:
        return tuple(chance.sample(names, chance.choice((0, 0, 1, 2))))

    def maybe(numbers: list[int]) -> int | None:
        return chance.choice([None, *numbers])

    return BookSearch(
        text=chance.choice(["libro", "libro azul", "azul"]),
        fuzzy="never",
        filters=BookFilters(
            categories=some(CATEGORIES[:3]),
            languages=some(LANGUAGES[:2]),
            authors=some(AUTHORS),
            price_from=maybe([0, 999, 2500]),
            price_to=maybe([-1, 1000, 3000]),
            year_from=maybe([-900, 0, 1960]),
            year_to=maybe([-1, 1999]),
            rating_from=maybe([1, 3, 5]),
            in_stock=chance.random() < 0.3,
        ),
        facets=tuple(chance.sample((*NAME_FACETS, *RANGE_FACETS), chance.randint(1, 6))),
        price_bands=chance.choice([(1000, 2000, 3000), (100,), (5, 70, 2000), (999, 1001), ()]),
    )


async def test_facets_are_the_same_however_they_are_counted(tmp_path: Path) -> None:
    chance = random.Random(18)
    books = [
        make_book(
            f"b{number}",
            chance.choice(["Un libro", "Libro azul", "Azul"]),
            category=chance.choice(CATEGORIES),
            authors=tuple(chance.sample(AUTHORS, chance.randint(0, 2))),
            language=chance.choice(LANGUAGES),
            price=chance.choice([0, 5, 70, 99, 100, 999, 1000, 1001, 1999, 2000, 2500, 3000, 2**31 - 1]),
            publication_year=chance.choice(YEARS),
            rating=chance.choice([0, 0.99, 1, 2.5, 3, 3.99, 4, 5]),
            stock=chance.randint(0, 1),
        )
        for number in range(150)
    ]
    index = TantivyBookIndex(tmp_path, CURSORS, TantivyOptions(commit_seconds=0))
    await index.build("main", iterate_batches(books[:100]), "0")
    await index.apply("main", books[100:], "1")
    await index.close()
    searcher = open_index(TenantFolder(tmp_path, "main").find_index()).searcher()
    expected = MemoryBookIndex(CURSORS)
    await expected.build("main", iterate_batches(books), "1")
    queries = QueryBuilder(make_schema())
    counted = 0
    for _ in range(60):
        search = choose_search(chance)
        counter = FacetCounter(search, list_conditions(search.filters))
        matched = queries.match_text(parse_text(search.text or ""))
        page = await expected.search("main", search)
        for many in (True, False):
            assert counter.count(searcher, queries, matched, many=many) == (page.facets, page.total), search
        counted += page.facets != Facets() and page.total > 0
    assert counted > 10
