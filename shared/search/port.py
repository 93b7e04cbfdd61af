"""The port of the search of books, and the types of its queries and results.

An index is a projection of the records of books and of their stock. A follower of the change feed keeps it up to date,
and makes a new one if it is missing, damaged or of an older version. Hits are the ids of books: the caller reads the
books from the records, so no result shows an old price or a deleted book.
"""

from collections.abc import AsyncIterable, Sequence
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

MAX_TEXT_LETTERS = 200
MAX_WORDS = 16
MAX_LIMIT = 100
"""Books on a page."""
MAX_DEPTH = 10_000
"""Pages by number, and pages by relevance, end after so many hits; cursors of the other orders lead on."""

Fuzziness = Literal["auto", "always", "never"]
"""`auto` also finds misspelt words if fewer than five books have exactly the words of the query."""

FacetDimension = Literal["category", "subcategory", "language", "author", "price", "rating"]

BookSort = Literal["relevance", "title", "price", "rating", "year", "added", "popularity"]


class IndexedBook(msgspec.Struct, frozen=True, kw_only=True):
    """A book as it is indexed: members of its record, and its stock."""

    book: str
    """The id of the book."""
    version: int
    """Grows with every change of the book and of its stock. An older version never replaces a newer one."""
    title: str
    authors: tuple[str, ...] = ()
    isbn: str | None = None
    """An ISBN-13 without hyphens."""
    editorial: str = ""
    category: str = ""
    subcategory: str = ""
    description: str = ""
    language: str = ""
    price: int
    """In the smallest unit of the tenant's currency; 0 without a price, which no filter and no range of prices has."""
    publication_year: int | None = None
    """Negative before the common era."""
    rating: float = 0
    """From 0 to 5."""
    ratings: int = 0
    """The number of ratings, which is the popularity of the book."""
    stock: int = 0
    active: bool = True
    """Books that are not active are not in the index."""
    created_at: int
    """Microseconds since 1970."""


class RemovedBook(msgspec.Struct, frozen=True):
    """A book that no longer exists. It must be newer than the indexed version, or nothing happens."""

    book: str
    version: int


IndexChange = IndexedBook | RemovedBook


class BookFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions on books; bounds are included. Names are compared without case and accents; one is enough."""

    categories: tuple[str, ...] = ()
    subcategories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    price_from: int | None = None
    price_to: int | None = None
    year_from: int | None = None
    year_to: int | None = None
    rating_from: Annotated[float, Meta(ge=0, le=5)] | None = None
    in_stock: bool = False


class BookSearch(msgspec.Struct, frozen=True, kw_only=True):
    """A query, and which page of its results."""

    text: str | None = None
    """All words have to be in a book. None means all books; a text without a word finds nothing."""
    fuzzy: Fuzziness = "auto"
    filters: BookFilters = BookFilters()
    sort: BookSort | None = None
    """By default `relevance` with a text, otherwise `added`. Without a text `relevance` means `popularity`."""
    descending: bool | None = None
    """By default titles and prices ascend, all others descend; `relevance` always descends. Books without a year count
    as the oldest."""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 20
    page: Annotated[int, Meta(ge=1)] = 1
    cursor: str | None = None
    """Continues after, or before, the page that had this cursor; `page` is ignored."""
    facets: tuple[FacetDimension, ...] = ()
    """Dimensions to count. `author` costs as much as all others together, since most books have another author."""
    facet_values: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """Names that a facet has at most, the most frequent ones."""
    price_bands: Annotated[tuple[int, ...], Meta(max_length=20)] = (1000, 2000, 3000, 5000)
    """Bounds of the price ranges that the facet `price` counts, ascending."""


class Hit(msgspec.Struct, frozen=True):
    """A found book, and its value in the order of the results."""

    book: str
    key: int | float | str


class FacetValue(msgspec.Struct, frozen=True):
    """A name, and how many books of the results have it."""

    value: str
    count: int


class FacetRange(msgspec.Struct, frozen=True):
    """The number of results within a range that includes `low` and excludes `high`; None means no bound."""

    low: int | None
    high: int | None
    count: int


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by dimension; one that was not asked for is empty.

    The counts of a dimension ignore its own filter and obey all others.
    """

    category: tuple[FacetValue, ...] = ()
    subcategory: tuple[FacetValue, ...] = ()
    language: tuple[FacetValue, ...] = ()
    author: tuple[FacetValue, ...] = ()
    price: tuple[FacetRange, ...] = ()
    rating: tuple[FacetRange, ...] = ()
    """By whole stars: from 1 to less than 2, and so on."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A page of results."""

    hits: tuple[Hit, ...]
    total: int
    """The exact number of books in all pages."""
    page: int
    next_cursor: str | None
    previous_cursor: str | None
    corrected: bool
    """Whether books were added whose words only resemble those of the query; they follow the exact ones."""
    facets: Facets = Facets()


class Suggestion(msgspec.Struct, frozen=True):
    """A text that completes what a user has typed so far: a title with the id of its book, or an author."""

    kind: Literal["book", "author"]
    text: str
    book: str | None = None


class BookIndex(Protocol):
    """The search index of each tenant.

    Every method raises InvalidParams for what is not the name of a tenant; those that read raise IndexMissing if the
    tenant has no usable index, and Unavailable if the engine is busy or cannot be reached.
    """

    async def apply(self, tenant: str, changes: Sequence[IndexChange], position: str) -> None:
        """Stores changes and the position in the feed behind them; both are durable afterwards.

        The same changes can be applied again. Raises IndexMissing if there is no index to change, and IndexBehind if
        the changes cannot be stored, after which the index is as it was before.
        """
        ...

    async def build(self, tenant: str, books: AsyncIterable[Sequence[IndexedBook]], position: str) -> None:
        """Makes a new index from all books of a tenant; the old one answers until the new one is complete.

        `position` is one from before the first book was read: whoever follows the feed continues there. Raises
        IndexBehind if the index cannot be stored, and what `books` raises.
        """
        ...

    async def position(self, tenant: str) -> str | None:
        """Returns the position of the last changes, or None if the tenant has no usable index: it has to be built."""
        ...

    async def search(self, tenant: str, query: BookSearch) -> Found:
        """Returns a page of the books that match a query.

        Raises InvalidParams for a text with too many letters or words, for a page that is too deep, and for a cursor
        of another query.
        """
        ...

    async def suggest(self, tenant: str, text: str, limit: int) -> list[Suggestion]:
        """Returns completions of a text, of which the last word may be incomplete; the most popular come first."""
        ...

    async def similar(self, tenant: str, text: str, limit: int) -> list[str]:
        """Returns the ids of books that share rare words with a text, such as title, author and category of a book."""
        ...

    async def drop(self, tenant: str) -> None:
        """Deletes the index of a tenant."""
        ...

    async def close(self) -> None:
        """Stores pending changes and releases files and connections."""
        ...
