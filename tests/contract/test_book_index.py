"""The contract of the port BookIndex: one suite over every adapter."""

import contextlib
import unicodedata
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.domain.errors import IndexMissing, InvalidParams
from shared.search.opensearch.client import SearchServerClient
from shared.search.opensearch.index import OpenSearchBookIndex
from shared.search.port import (
    BookFilters,
    BookIndex,
    BookSearch,
    FacetDimension,
    FacetRange,
    FacetValue,
    Found,
    IndexChange,
    IndexedBook,
    RemovedBook,
    Suggestion,
)
from shared.search.tantivy.index import TantivyBookIndex, TantivyOptions
from shared.wire.cursors import Cursors
from tests.support.books import iterate_batches, make_book
from tests.support.memory_book_index import MemoryBookIndex
from tests.support.search_servers import search_server

CURSORS = Cursors(b"k" * 32)
CURSOR_LETTERS = 600
"""The longest cursor that the gateway takes."""
NOVEL = "Novela"
FACETS: tuple[FacetDimension, ...] = ("category", "subcategory", "language", "author", "price", "rating")


SERVERS = [pytest.param(kind, marks=pytest.mark.server) for kind in ("osmem", "noida")]


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], str]]:
    """Starts a search server when it is first asked for, and gives its address."""
    with contextlib.ExitStack() as stack:
        started: dict[str, str] = {}

        def start(kind: str) -> str:
            if kind not in started:
                started[kind] = stack.enter_context(search_server(kind))
            return started[kind]

        yield start


@pytest.fixture(params=["memory", pytest.param("tantivy", marks=pytest.mark.engine), *SERVERS])
async def index(
    tmp_path: Path, request: pytest.FixtureRequest, servers: Callable[[str], str]
) -> AsyncIterator[BookIndex]:
    """An empty index of every tenant."""
    made: BookIndex
    if request.param == "memory":
        made = MemoryBookIndex(CURSORS)
    elif request.param == "tantivy":
        made = TantivyBookIndex(tmp_path / "search", CURSORS, TantivyOptions(commit_seconds=0))
    else:
        client = SearchServerClient(servers(request.param), seconds=30)
        made = OpenSearchBookIndex(client, CURSORS, prefix=f"t{uuid.uuid4().hex[:12]}-")
    yield made
    await made.close()


async def fill(index: BookIndex, books: Sequence[IndexedBook], tenant: str = "main") -> None:
    await index.build(tenant, iterate_batches(books), "p0")


async def find(index: BookIndex, text: str | None = None, tenant: str = "main", **members: Any) -> list[str]:
    found = await index.search(tenant, BookSearch(text=text, **members))
    assert found.total == len(found.hits)
    return [hit.book for hit in found.hits]


async def titles(index: BookIndex, *names: str) -> None:
    await fill(index, [make_book(f"b{number}", name) for number, name in enumerate(names)])


@pytest.mark.parametrize(
    ("title", "texts"),
    [
        ("La canción de la noche", ["canción", "cancion", "CANCIONES", "noches", "la Canción DE"]),
        ("Los años perdidos", ["año", "ano", "años", "anos", "AÑO perdido"]),
        ("Luces de bohemia", ["luz", "luces", "Lúz"]),
        ("Imágenes y jóvenes", ["imagen", "joven", "jóvenes"]),
        ("The Classes of Sorcerer's Books", ["class", "book", "sorcerers", "sorcerer"]),
        ("L\u2019amour: Straße", ["amour", "strasse", "L'amour"]),
        ("Foto\u00adgrafía \ufeffmoderna", ["fotografia", "foto\u200bgrafía", "\u2060moderna\u200e"]),
    ],
)
async def test_accents_and_plurals_do_not_matter(index: BookIndex, title: str, texts: list[str]) -> None:
    await titles(index, title, "Otra cosa")
    for text in texts:
        for form in (text, unicodedata.normalize("NFD", text)):
            assert await find(index, form, fuzzy="never") == ["b0"], form


async def test_composed_and_decomposed_titles_are_found_alike(index: BookIndex) -> None:
    await titles(index, "El árbol", unicodedata.normalize("NFD", "El árbol"))
    assert sorted(await find(index, "árbol")) == ["b0", "b1"]
    assert sorted(await find(index, unicodedata.normalize("NFD", "árbol"))) == ["b0", "b1"]


async def test_all_words_have_to_be_there_wherever_they_are(index: BookIndex) -> None:
    book = make_book("b1", "Rayuela", authors=("Julio Cortázar",), category=NOVEL, editorial="Sudamericana")
    await fill(index, [book, make_book("b2", "Rayuela para niños")])
    assert await find(index, "cortazar rayuelas novelas sudamericana", fuzzy="never") == ["b1"]
    assert await find(index, "rayuela borges", fuzzy="never") == []
    assert await find(index, "j", fuzzy="never") == []


async def test_initials_are_found_as_people_type_them(index: BookIndex) -> None:
    await fill(index, [make_book("b1", authors=("J.K. Rowling",)), make_book("b2", authors=("J. R. R. Tolkien",))])
    assert await find(index, "jk rowling") == ["b1"]
    assert await find(index, "j.k. rowling") == ["b1"]
    assert await find(index, "jrr tolkien") == ["b2"]


async def test_precise_words_in_titles_come_first(index: BookIndex) -> None:
    await fill(
        index,
        [
            make_book("described", "Viajes", description="con canciones"),
            make_book("plural", "Canciones"),
            make_book("precise", "Canción"),
        ],
    )
    assert await find(index, "cancion", fuzzy="never") == ["precise", "plural", "described"]


async def test_books_that_are_named_by_all_words_come_first(index: BookIndex) -> None:
    """However popular the others are, and on every page."""
    described = [make_book(f"d{number}", "Mar mar", description="luz", ratings=2_000_000) for number in range(4)]
    named = [make_book(f"n{number}", "Las luces del mar y de otras muchas cosas de la vida") for number in range(3)]
    named.append(make_book("n3", "Mar", authors=("Ana Luz",), description="mar " * 30))
    await fill(index, [*described, *named, make_book("other", "Mar")])
    assert {hit[0] for hit in (await find(index, "luz mar"))[:4]} == {"n"}
    pages, cursor = [], None
    for _ in range(4):
        found = await index.search("main", BookSearch(text="mar luz", limit=2, cursor=cursor))
        assert found.total == 8
        pages += [hit.book for hit in found.hits]
        cursor = found.next_cursor
    assert cursor is None
    assert sorted(pages[:4]) == ["n0", "n1", "n2", "n3"]
    assert sorted(pages[4:]) == ["d0", "d1", "d2", "d3"]


async def test_among_equals_the_popular_book_comes_first(index: BookIndex) -> None:
    await fill(index, [make_book(f"b{ratings}", "Harry Potter", ratings=ratings) for ratings in (0, 5_000_000, 40)])
    assert await find(index, "harry") == ["b5000000", "b40", "b0"]


async def test_misspelt_words_are_found_behind_the_precise_ones(index: BookIndex) -> None:
    books = [make_book(f"f{number}", "Hary Poter", ratings=10**6) for number in range(3)]
    books += [make_book("e1", "Harry Potter"), make_book("e2", "Un libro de Harry", description="y Potter")]
    await fill(index, books)
    found = await index.search("main", BookSearch(text="harry potter"))
    assert [hit.book for hit in found.hits][:2] == ["e1", "e2"]
    assert sorted(hit.book for hit in found.hits[2:]) == ["f0", "f1", "f2"]
    assert (found.total, found.corrected) == (5, True)
    assert await find(index, "harry potter", fuzzy="never") == ["e1", "e2"]
    assert await find(index, "harrry poter", sort="title") == ["e1", "f0", "f1", "f2"]
    first = await index.search("main", BookSearch(text="harry potter", limit=1))
    second = await index.search("main", BookSearch(text="harry potter", limit=3, page=1))
    pages = [first]
    while pages[-1].next_cursor:
        pages.append(await index.search("main", BookSearch(text="harry potter", limit=1, cursor=pages[-1].next_cursor)))
    assert [page.hits[0].book for page in pages] == [hit.book for hit in found.hits]
    assert [hit.book for hit in second.hits][:2] == ["e1", "e2"]


async def test_with_enough_precise_books_no_word_is_corrected(index: BookIndex) -> None:
    await titles(index, *["Canto"] * 5, "Cantos", "Conto")
    found = await index.search("main", BookSearch(text="canto"))
    assert (found.total, found.corrected) == (6, False)
    always = await index.search("main", BookSearch(text="canto", fuzzy="always"))
    assert (always.total, always.corrected) == (7, True)
    assert always.hits[-1].book == "b6"


async def test_short_words_and_numbers_are_never_corrected(index: BookIndex) -> None:
    await titles(index, "1984", "Yo")
    assert await find(index, "1985") == []
    assert await find(index, "ya") == []


@pytest.mark.parametrize("text", ["", "   ", "©♭", "%", "***", "¿?", "_", "\u0301", "\u200b", "🎵", "(", '"', "\\"])
async def test_a_text_without_words_finds_nothing(index: BookIndex, text: str) -> None:
    await titles(index, "Uno", "Dos")
    found = await index.search("main", BookSearch(text=text, facets=FACETS))
    assert (found.hits, found.total, found.next_cursor) == ((), 0, None)
    assert found.facets.category == ()


@pytest.mark.parametrize(
    "text", ["c++ (", "title:*", "a AND NOT b", "[a TO b]", "x~2", "^uno$", "-uno", "'; --", "a" * 200]
)
async def test_no_letter_has_a_meaning(index: BookIndex, text: str) -> None:
    await titles(index, "Uno", "Dos")
    assert await find(index, text) in ([], ["b0"])


async def test_texts_are_bounded(index: BookIndex) -> None:
    await titles(index, " ".join(f"palabra{number}" for number in range(16)))
    words = [f"palabra{number}" for number in range(16)]
    assert await find(index, " ".join(words)) == ["b0"]
    with pytest.raises(InvalidParams, match="17 words"):
        await index.search("main", BookSearch(text=" ".join([*words, "uno"])))
    with pytest.raises(InvalidParams, match="201 letters"):
        await index.search("main", BookSearch(text="a" * 201))
    assert await find(index, "a" * 200) == []
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"limit": 101}, BookSearch)


async def test_every_form_of_an_isbn_finds_the_book(index: BookIndex) -> None:
    await fill(index, [make_book("b1", isbn="9780439023481"), make_book("b2", isbn="9780061120084")])
    for text in ("0-439-02348-3", "0439023483", "978-0-439-02348-1", "9780439023481", " 978 0439 023481 "):
        assert await find(index, text) == ["b1"], text
    for text in (
        "".join(chr(ord(digit) + 0xFEE0) for digit in "0439023483"),
        "0\u2212439\u221202348\u22123",
        "978\u00ad0439023481\u200b",
    ):
        assert await find(index, text) == ["b1"], text
    assert await find(index, "043902348X") == ["b1"], "the check digit is not the index's matter"


FILTERED = [
    make_book(
        "b1",
        "Uno",
        authors=("Ana Gil", "José Paz"),
        category=NOVEL,
        subcategory="Histórica",
        language="es",
        price=1000,
        publication_year=-380,
        rating=4.5,
        stock=3,
    ),
    make_book("b2", "Dos", category="Poesía", language="es", price=2000, publication_year=1999, rating=3, stock=0),
    make_book(
        "b3", "Tres", category="Poesía", language="en-US", price=2001, publication_year=2024, rating=4.49, stock=1
    ),
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["b1", "b2", "b3"]),
        ({"categories": ("novela",)}, ["b1"]),
        ({"categories": ("POESIA", "Ensayo")}, ["b2", "b3"]),
        ({"categories": ("Poe",)}, []),
        ({"subcategories": ("historica",)}, ["b1"]),
        ({"authors": ("jose paz",)}, ["b1"]),
        ({"authors": ("jose",)}, []),
        ({"languages": ("en-us",)}, ["b3"]),
        ({"price_from": 2000}, ["b2", "b3"]),
        ({"price_to": 2000}, ["b1", "b2"]),
        ({"price_from": -5, "price_to": 1000}, ["b1"]),
        ({"price_to": -1}, []),
        ({"year_from": 1999}, ["b2", "b3"]),
        ({"year_to": 0}, ["b1"]),
        ({"rating_from": 4.5}, ["b1"]),
        ({"price_from": 10**30}, []),
        ({"price_from": -(10**30), "price_to": 10**30, "year_from": -(10**30), "year_to": 10**30}, ["b1", "b2", "b3"]),
        ({"in_stock": True}, ["b1", "b3"]),
        ({"in_stock": True, "languages": ("es",), "price_to": 1500}, ["b1"]),
    ],
)
async def test_filters(index: BookIndex, filters: dict[str, Any], expected: list[str]) -> None:
    await fill(index, FILTERED)
    assert sorted(await find(index, filters=BookFilters(**filters))) == expected


async def test_a_name_without_a_word_is_not_that_of_a_book_without_a_name(index: BookIndex) -> None:
    await fill(index, [make_book("b1"), make_book("b2", category=NOVEL)])
    assert await find(index, filters=BookFilters(categories=("\u00a9",))) == []
    assert await find(index, filters=BookFilters(languages=("?",))) == []


async def test_a_book_without_a_price_has_none_of_the_prices(index: BookIndex) -> None:
    await fill(index, [make_book("b1", price=0), make_book("b2", price=1)])
    assert await find(index, filters=BookFilters(price_to=500)) == ["b2"]
    assert await find(index, filters=BookFilters(price_from=0)) == ["b2"]
    facets = (await index.search("main", BookSearch(facets=("price",), price_bands=(500,)))).facets
    assert facets.price == (FacetRange(None, 500, 1), FacetRange(500, None, 0))
    assert sorted(await find(index)) == ["b1", "b2"]


async def test_counts_of_a_dimension_ignore_its_own_filter(index: BookIndex) -> None:
    await fill(index, FILTERED)
    query = BookSearch(facets=FACETS, price_bands=(1500, 2001), filters=BookFilters(categories=(NOVEL,)))
    facets = (await index.search("main", query)).facets
    assert facets.category == (FacetValue("Poesía", 2), FacetValue(NOVEL, 1))
    assert facets.subcategory == (FacetValue("Histórica", 1),)
    assert facets.language == (FacetValue("es", 1),)
    assert facets.author == (FacetValue("Ana Gil", 1), FacetValue("José Paz", 1))
    assert facets.price == (FacetRange(None, 1500, 1), FacetRange(1500, 2001, 0), FacetRange(2001, None, 0))
    query = BookSearch(facets=FACETS, filters=BookFilters(languages=("es",), rating_from=4), price_bands=(1500, 2001))
    facets = (await index.search("main", query)).facets
    assert facets.language == (FacetValue("en-US", 1), FacetValue("es", 1))
    assert facets.category == (FacetValue(NOVEL, 1),)
    assert [(band.low, band.count) for band in facets.rating] == [(None, 0), (1, 0), (2, 0), (3, 1), (4, 1)]
    assert [band.count for band in facets.price] == [1, 0, 0]


async def test_facets_obey_the_text(index: BookIndex) -> None:
    await fill(index, FILTERED)
    facets = (await index.search("main", BookSearch(text="tres", facets=("price", "category")))).facets
    assert facets.category == (FacetValue("Poesía", 1),)
    assert sum(band.count for band in facets.price) == 1
    assert facets.language == facets.author == ()
    assert facets.rating == ()
    for bands in ((2, 1), (0, 1), (-1, 5), (10**400,)):
        with pytest.raises(InvalidParams, match="ascend"):
            await index.search("main", BookSearch(facets=FACETS, price_bands=bands))
    for rating in (float("nan"), float("inf"), -1.0, 5.1):
        with pytest.raises(InvalidParams, match="rating_from"):
            await index.search("main", BookSearch(filters=BookFilters(rating_from=rating)))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, ["new", "mid", "old"]),
        ({"sort": "added", "descending": False}, ["old", "mid", "new"]),
        ({"sort": "title"}, ["mid", "new", "old"]),
        ({"sort": "title", "descending": True}, ["old", "new", "mid"]),
        ({"sort": "price"}, ["new", "old", "mid"]),
        ({"sort": "price", "descending": True}, ["mid", "old", "new"]),
        ({"sort": "rating"}, ["old", "mid", "new"]),
        ({"sort": "year"}, ["new", "old", "mid"]),
        ({"sort": "popularity"}, ["mid", "new", "old"]),
        ({"sort": "relevance"}, ["mid", "new", "old"]),
    ],
)
async def test_orders(index: BookIndex, order: dict[str, Any], expected: list[str]) -> None:
    # Books of one load are added within a second.
    microsecond = 1
    await fill(
        index,
        [
            make_book("old", "Ñandú", created_at=microsecond, price=200, rating=5, publication_year=-400, ratings=1),
            make_book("mid", "Álbum", created_at=2 * microsecond, price=900, rating=4.2, ratings=90),
            make_book(
                "new", "Beta", created_at=3 * microsecond, price=100, rating=4.1, publication_year=2020, ratings=50
            ),
        ],
    )
    assert await find(index, **order) == expected


async def walk(index: BookIndex, query: BookSearch, change: Any = None) -> list[Found]:
    pages = [await index.search("main", query)]
    while pages[-1].next_cursor:
        if change is not None:
            await change(len(pages))
        pages.append(await index.search("main", msgspec.structs.replace(query, cursor=pages[-1].next_cursor)))
    return pages


def ids(pages: Sequence[Found]) -> list[str]:
    return [hit.book for page in pages for hit in page.hits]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", ["price", "title"])
async def test_cursors_lead_to_each_book_once_while_books_change(index: BookIndex, sort: Any, descending: bool) -> None:
    books = [
        make_book(f"{number:036}", f"Introducción a la economía número {number % 3}", price=100 + number % 2)
        for number in range(45)
    ]
    await fill(index, books)

    async def change(page: int) -> None:
        edited: list[IndexChange] = [
            msgspec.structs.replace(book, version=page + 1, stock=page) for book in books[page::7]
        ]
        await index.apply("main", edited, f"p{page}")

    query = BookSearch(sort=sort, descending=descending, limit=10)
    pages = await walk(index, query, change)
    assert len(set(ids(pages))) == len(ids(pages)) == 45
    assert [page.total for page in pages] == [45] * 5
    assert [page.page for page in pages] == [1, 2, 3, 4, 5]
    keys = [hit.key for page in pages for hit in page.hits]
    assert keys == sorted(keys, reverse=descending)
    assert max(len(page.next_cursor or page.previous_cursor or "") for page in pages) <= CURSOR_LETTERS
    by_number = await index.search("main", msgspec.structs.replace(query, page=3))
    assert by_number.hits == pages[2].hits
    follower = await index.search("main", msgspec.structs.replace(query, cursor=by_number.next_cursor))
    assert follower.hits == pages[3].hits

    backward = [pages[-1]]
    while backward[-1].previous_cursor:
        backward.append(await index.search("main", msgspec.structs.replace(query, cursor=backward[-1].previous_cursor)))
    assert [page.hits for page in reversed(backward)] == [page.hits for page in pages]
    assert [page.page for page in reversed(backward)] == [1, 2, 3, 4, 5]
    onward = await index.search("main", msgspec.structs.replace(query, cursor=backward[-1].next_cursor))
    assert onward.hits == pages[1].hits


async def test_pages_by_relevance(index: BookIndex) -> None:
    await fill(index, [make_book(f"b{number}", "Un libro", ratings=number * 1000) for number in range(25)])
    query = BookSearch(text="libro", limit=10)
    pages = await walk(index, query)
    assert len(set(ids(pages))) == 25
    assert [(page.page, page.total, len(page.hits)) for page in pages] == [(1, 25, 10), (2, 25, 10), (3, 25, 5)]
    second = await index.search("main", msgspec.structs.replace(query, page=2))
    assert second.hits == pages[1].hits
    back = await index.search("main", msgspec.structs.replace(query, cursor=pages[2].previous_cursor))
    assert back.hits == pages[1].hits
    assert pages[0].previous_cursor is None


async def test_a_cursor_belongs_to_its_query(index: BookIndex) -> None:
    for tenant in ("main", "other"):
        await fill(index, [make_book(f"b{number}") for number in range(4)], tenant)
    query = BookSearch(sort="price", limit=2)
    cursor = (await index.search("main", query)).next_cursor
    assert cursor is not None
    others = [
        msgspec.structs.replace(query, filters=BookFilters(in_stock=True), cursor=cursor),
        msgspec.structs.replace(query, descending=True, cursor=cursor),
        msgspec.structs.replace(query, text="libro", cursor=cursor),
        msgspec.structs.replace(query, cursor=f"A{cursor}"),
        msgspec.structs.replace(query, cursor="ñ"),
    ]
    for other in others:
        with pytest.raises(InvalidParams, match="not one of this query"):
            await index.search("main", other)
    with pytest.raises(InvalidParams, match="not one of this query"):
        await index.search("other", msgspec.structs.replace(query, cursor=cursor))


async def test_pages_by_number_end_at_ten_thousand(index: BookIndex) -> None:
    await fill(index, [make_book("b1")])
    last = await index.search("main", BookSearch(limit=100, page=100))
    assert (last.hits, last.total) == ((), 1)
    with pytest.raises(InvalidParams, match="too deep"):
        await index.search("main", BookSearch(limit=100, page=101))
    for odd in (BookSearch(limit=101), BookSearch(limit=0), BookSearch(page=0)):
        with pytest.raises(InvalidParams):
            await index.search("main", odd)


async def test_an_older_version_never_replaces_a_newer_one(index: BookIndex) -> None:
    await fill(index, [make_book("b1", "Primero", version=5)])
    await index.apply("main", [make_book("b1", "Segundo", version=4), RemovedBook("b1", 3)], "p1")
    assert await find(index, "primero") == ["b1"]
    await index.apply("main", [make_book("b1", "Tercero", version=7), make_book("b1", "Segundo", version=6)], "p2")
    assert await find(index, "tercero") == ["b1"]
    assert await find(index, "segundo", fuzzy="never") == await find(index, "primero", fuzzy="never") == []
    assert await index.position("main") == "p2"


async def test_the_same_changes_can_be_applied_again(index: BookIndex) -> None:
    await fill(index, [make_book("b1"), make_book("b2")])
    changes: list[IndexChange] = [
        make_book("b1", "Nuevo", version=2),
        RemovedBook("b2", 2),
        make_book("b3"),
        RemovedBook("b9", 2),
    ]
    for _ in range(2):
        await index.apply("main", changes, "p1")
        assert sorted(await find(index)) == ["b1", "b3"]
    assert await find(index, "nuevo") == ["b1"]


async def test_a_book_that_is_not_active_is_not_there(index: BookIndex) -> None:
    await fill(index, [make_book("b1", active=False), make_book("b2")])
    assert await find(index) == ["b2"]
    await index.apply("main", [make_book("b2", active=False, version=2), make_book("b1", version=2)], "p1")
    assert await find(index) == ["b1"]


async def test_a_position_without_changes_is_kept(index: BookIndex) -> None:
    await fill(index, [make_book("b1")])
    assert await index.position("main") == "p0"
    await index.apply("main", [], "p9")
    assert await index.position("main") == "p9"
    assert await find(index) == ["b1"]


async def test_an_index_that_is_missing_says_so(index: BookIndex) -> None:
    assert await index.position("nobody") is None
    with pytest.raises(IndexMissing):
        await index.search("nobody", BookSearch())
    with pytest.raises(IndexMissing):
        await index.suggest("nobody", "a", 5)
    with pytest.raises(IndexMissing):
        await index.similar("nobody", "a", 5)
    with pytest.raises(IndexMissing):
        await index.apply("nobody", [make_book("b1")], "p1")
    assert await index.position("nobody") is None


async def test_an_index_of_no_books_finds_none(index: BookIndex) -> None:
    await fill(index, [])
    found = await index.search("main", BookSearch(facets=FACETS))
    assert (found.hits, found.total) == ((), 0)
    assert await index.suggest("main", "a", 5) == []
    assert await index.similar("main", "a", 5) == []


async def test_a_new_index_takes_the_place_of_the_old_one(index: BookIndex) -> None:
    await fill(index, [make_book("b1")])
    await index.apply("main", [make_book("b2")], "p1")

    async def batches() -> AsyncIterator[list[IndexedBook]]:
        yield [make_book("b3")]
        assert sorted(await find(index)) == ["b1", "b2"], "the old one answers meanwhile"

    await index.build("main", batches(), "p2")
    assert await find(index) == ["b3"]
    assert await index.position("main") == "p2"
    await index.apply("main", [make_book("b4")], "p3")
    assert sorted(await find(index)) == ["b3", "b4"]


async def test_a_build_that_fails_leaves_the_old_index(index: BookIndex) -> None:
    await fill(index, [make_book("b1")])

    async def batches() -> AsyncIterator[list[IndexedBook]]:
        yield [make_book("b2")]
        raise ConnectionError("the records are away")

    with pytest.raises(ConnectionError):
        await index.build("main", batches(), "p2")
    assert await find(index) == ["b1"]
    assert await index.position("main") == "p0"
    await fill(index, [make_book("b3")])
    assert await find(index) == ["b3"]


async def test_tenants_are_apart(index: BookIndex) -> None:
    await fill(index, [make_book("a1", "El faro", category="A", ratings=1)], "tenant-a")
    await fill(
        index, [make_book(f"b{n}", "El faro", category="B", authors=("Faro Gil",)) for n in range(3)], "tenant-b"
    )
    found = await index.search("tenant-a", BookSearch(text="faro", facets=FACETS))
    assert ([hit.book for hit in found.hits], found.total) == (["a1"], 1)
    assert (found.facets.category, found.facets.author) == ((FacetValue("A", 1),), ())
    assert await index.suggest("tenant-a", "far", 5) == [Suggestion("book", "El faro", "a1")]
    assert await index.similar("tenant-a", "faro", 5) == ["a1"]
    await index.drop("tenant-b")
    assert await index.position("tenant-b") is None
    assert await index.position("tenant-a") == "p0"
    await index.drop("tenant-b")


@pytest.mark.parametrize("tenant", ["", ".", "..", "A", "a/b", "../main", "a" * 41, "a\n", "*", "a,b", "_all"])
async def test_only_names_of_tenants_are_taken(index: BookIndex, tenant: str) -> None:
    with pytest.raises(InvalidParams, match="not the name of a tenant"):
        await index.search(tenant, BookSearch())
    with pytest.raises(InvalidParams):
        await index.suggest(tenant, "a", 5)
    with pytest.raises(InvalidParams):
        await index.similar(tenant, "a", 5)
    with pytest.raises(InvalidParams):
        await index.position(tenant)
    with pytest.raises(InvalidParams):
        await index.apply(tenant, [], "p1")
    with pytest.raises(InvalidParams):
        await index.build(tenant, iterate_batches([]), "p1")
    with pytest.raises(InvalidParams):
        await index.drop(tenant)


async def test_suggestions(index: BookIndex) -> None:
    await fill(
        index,
        [
            make_book("b1", "Cien años de soledad", authors=("Gabriel García Márquez",), ratings=90),
            make_book("b2", "Canción de garra", ratings=10),
            make_book("b3", "Crónica de una muerte anunciada", authors=("Gabriel García Márquez",), ratings=50),
            make_book("b4", "cancion de GARRA", ratings=5),
        ],
    )
    gabo = Suggestion("author", "Gabriel García Márquez")
    cien, cronica = (
        Suggestion("book", "Cien años de soledad", "b1"),
        Suggestion("book", "Crónica de una muerte anunciada", "b3"),
    )
    assert await index.suggest("main", "gar", 5) == [gabo, cien, cronica, Suggestion("book", "Canción de garra", "b2")]
    assert await index.suggest("main", "GARCÍA már", 2) == [gabo, cien]
    assert await index.suggest("main", "años sol", 5) == [cien]
    assert await index.suggest("main", "soledda", 5) == [cien]
    assert await index.suggest("main", "zzz", 5) == await index.suggest("main", "©", 5) == []
    with pytest.raises(InvalidParams):
        await index.suggest("main", "a", 21)


async def test_similar_books_share_rare_words(index: BookIndex) -> None:
    books = [make_book(f"x{number}", "El libro de la casa", category=NOVEL) for number in range(9)]
    books += [make_book("b1", "El dragón azul"), make_book("b2", "Los dragones", category=NOVEL)]
    await fill(index, books)
    similar = await index.similar("main", "El libro de los dragones", 3)
    assert sorted(similar[:2]) == ["b1", "b2"]
    assert len(similar) == 3
    assert await index.similar("main", "zzz", 3) == await index.similar("main", "", 3) == []
    with pytest.raises(InvalidParams):
        await index.similar("main", "a", 0)
