"""Finds books in the search index, and reads them from the records.

The index says which books match and in which order. What is shown is in the records, so no page has an old price or a
deleted book; one that was deleted a moment ago is left out of its page.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Generic, TypeVar

from msgspec import Struct

from clients.persistence import PersistenceClient
from clients.shop import books as shop
from services.gateway.api.shop.envelope import Pagination
from services.gateway.api.shop.search_query import FilterQuery, build_search
from services.gateway.api.shop.views import BookView, Currency, load_currency, show_book, show_price
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.search.analysis import make_name_key
from shared.search.port import (
    BookFilters,
    BookIndex,
    BookSearch,
    FacetDimension,
    FacetRange,
    Facets,
    FacetValue,
    Found,
    Suggestion,
)

T = TypeVar("T")

_MAX_NAMES: Final = 10_000
_MAX_CATEGORIES: Final = 1000
_KEPT_SECONDS: Final = 5.0
_KEPT_TENANTS: Final = 256
_AT_ONCE: Final = 8


class PriceRange(Struct, frozen=True):
    """The number of books that cost from `low` to less than `high`; null means no bound."""

    low: Decimal | None
    high: Decimal | None
    count: int


class StarRange(Struct, frozen=True):
    """The number of books with `low` to less than `high` stars."""

    low: int | None
    high: int | None
    count: int


class FacetsView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counts of what was asked for. Those of a dimension ignore its own filter, and obey all others."""

    category: Sequence[FacetValue] | None = None
    subcategory: Sequence[FacetValue] | None = None
    language: Sequence[FacetValue] | None = None
    author: Sequence[FacetValue] | None = None
    price: Sequence[PriceRange] | None = None
    rating: Sequence[StarRange] | None = None


class BookPage(Struct, frozen=True, omit_defaults=True):
    """Books. `corrected` tells that some have words that only resemble those of the search; they come last."""

    data: Sequence[BookView]
    pagination: Pagination
    corrected: bool = False
    facets: FacetsView | None = None


class CategoryView(Struct, frozen=True):
    """A category, how many books it has, and its subcategories with how many they have."""

    name: str
    count: int
    subcategories: Sequence[FacetValue]


class BookFinder:
    """Searches the books of all shops."""

    def __init__(self, index: BookIndex, persistence: Backend[PersistenceClient], tenants: TenantDirectory) -> None:
        self._index = index
        self._records = persistence
        self._tenants = tenants
        self._categories: _Kept[Sequence[CategoryView]] = _Kept()
        self._authors: _Kept[Sequence[FacetValue]] = _Kept()

    async def find_page(self, tenant: str, query: FilterQuery) -> BookPage:
        """Returns a page of books. Raises InvalidParams, and Unavailable while the index is being built."""
        currency = await load_currency(self._tenants, tenant)
        search = build_search(query, currency.exponent)
        found = await self._index.search(tenant, search)
        data = await self.read_books(tenant, [hit.book for hit in found.hits], currency)
        facets = _show_facets(found.facets, search.facets, currency) if search.facets else None
        return BookPage(data, _paginate(found, search), found.corrected, facets)

    async def read_books(self, tenant: str, books: Sequence[str], currency: Currency | None = None) -> list[BookView]:
        """Returns the listed ones of some books, in their order."""
        if currency is None:
            currency = await load_currency(self._tenants, tenant)
        stored = await shop.get_books(self._records.of(tenant).lookups, books)
        return [show_book(one, tenant, currency) for one in stored if one is not None and one.book.active]

    async def complete_text(self, tenant: str, text: str, limit: int) -> list[Suggestion]:
        """Returns completions of a text; none is a book that was deleted a moment ago."""
        found = await self._index.suggest(tenant, text, limit)
        books = [one.book for one in found if one.book is not None]
        listed = await shop.find_listed(self._records.of(tenant).lookups, books)
        return [one for one in found if one.book is None or one.book in listed]

    async def list_categories(self, tenant: str) -> Sequence[CategoryView]:
        """Returns all categories by name. They may be some seconds old."""
        if (kept := self._categories.find(tenant)) is not None:
            return kept
        names = await self._count(tenant, "category", BookFilters(), _MAX_CATEGORIES)
        places = asyncio.Semaphore(_AT_ONCE)

        async def look(one: FacetValue) -> CategoryView:
            async with places:
                filters = BookFilters(categories=(one.value,))
                return CategoryView(
                    one.value, one.count, await self._count(tenant, "subcategory", filters, _MAX_CATEGORIES)
                )

        found = await asyncio.gather(*map(look, names))
        return self._categories.keep(tenant, sorted(found, key=lambda one: make_name_key(one.name)))

    async def list_authors(self, tenant: str) -> Sequence[FacetValue]:
        """Returns the authors by name, those with the most books if there are more than 10,000. Likewise."""
        if (kept := self._authors.find(tenant)) is not None:
            return kept
        found = await self._count(tenant, "author", BookFilters(), _MAX_NAMES)
        return self._authors.keep(tenant, sorted(found, key=lambda one: (make_name_key(one.value), one.value)))

    async def _count(
        self, tenant: str, dimension: FacetDimension, filters: BookFilters, most: int
    ) -> tuple[FacetValue, ...]:
        query = BookSearch(filters=filters, limit=1, facets=(dimension,), facet_values=most)
        counted: tuple[FacetValue, ...] = getattr((await self._index.search(tenant, query)).facets, dimension)
        return counted


class _Kept(Generic[T]):
    """Values of tenants for some seconds."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def find(self, tenant: str) -> T | None:
        """Returns a value that is not too old."""
        kept = self._values.get(tenant)
        now = asyncio.get_running_loop().time()
        return kept[1] if kept is not None and now - kept[0] < _KEPT_SECONDS else None

    def keep(self, tenant: str, value: T) -> T:
        """Keeps a value, and returns it."""
        self._values[tenant] = (asyncio.get_running_loop().time(), value)
        self._values.move_to_end(tenant)
        if len(self._values) > _KEPT_TENANTS:
            self._values.popitem(last=False)
        return value


def _paginate(found: Found, search: BookSearch) -> Pagination:
    return Pagination(
        current_page=found.page,
        total_pages=math.ceil(found.total / search.limit),
        total_items=found.total,
        items_per_page=search.limit,
        has_next=found.next_cursor is not None,
        has_previous=found.previous_cursor is not None,
        next_cursor=found.next_cursor,
        previous_cursor=found.previous_cursor,
    )


def _show_facets(facets: Facets, wanted: Sequence[FacetDimension], currency: Currency) -> FacetsView:
    def price(one: FacetRange) -> PriceRange:
        return PriceRange(show_price(one.low, currency), show_price(one.high, currency), one.count)

    return FacetsView(
        category=facets.category if "category" in wanted else None,
        subcategory=facets.subcategory if "subcategory" in wanted else None,
        language=facets.language if "language" in wanted else None,
        author=facets.author if "author" in wanted else None,
        price=[price(one) for one in facets.price] if "price" in wanted else None,
        rating=[StarRange(one.low, one.high, one.count) for one in facets.rating] if "rating" in wanted else None,
    )
