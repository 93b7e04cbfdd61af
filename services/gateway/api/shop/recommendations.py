"""Recommendations: what is bought together with a book, or with what a user has, each with its reason."""

import asyncio
import datetime
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import structlog
from msgspec import Meta, Struct

from clients.accounts.accounts import load_account
from clients.persistence import PersistenceClient
from clients.shop import books as shop
from clients.shop.carts import load_cart
from clients.shop.lists import list_favorites
from services.gateway.api.shop.envelope import TenantId, check_tenant
from services.gateway.api.shop.views import BookView, load_currency, show_book
from services.gateway.http.principal import PUBLIC, SIGNED_IN
from services.gateway.http.responses import json_response, packed_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.domain.books import is_for_sale
from shared.domain.errors import ErrorReason, NotFound, StoreError
from shared.recommendations.pair_file import SALES_DAYS, open_pairs
from shared.recommendations.scores import rank_books, score_books
from shared.search.analysis import make_name_key
from shared.search.port import BookFilters, BookIndex, BookSearch

Reason = Literal["bought_together", "similar", "category", "popular"]

_FAVORITE_WEIGHT: Final = 0.5
_FAVORITES: Final = 50
_DESCRIBED: Final = 5
"""Books of a user to which similar ones are looked for."""
_SURPLUS: Final = 3
"""Candidates are read for each place, as some cannot be bought."""
_READS_AT_ONCE: Final = 4
_POPULAR: Final = 100
"""Books that are popular by their sales."""
_KEPT_SECONDS: Final = 60
_KEPT: Final = 1000
"""Users, and tenants, whose proposals are kept for that time; a user's take about 20 KB."""

K = TypeVar("K")
V = TypeVar("V")


class RecommendationQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The number of books to recommend."""

    limit: Annotated[int, Meta(ge=1, le=50, description="How many, at most")] = 10
    tenant_id: TenantId | None = None


class Recommendation(Struct, frozen=True):
    """A book, and why it is recommended."""

    book: BookView
    reason: Reason


class Recommendations(Struct, frozen=True):
    """Books that can be bought, the best first."""

    recommendations: Sequence[Recommendation]
    total: int


class _Known(NamedTuple):
    """The history of a user: books with their weights, and books that are not recommended."""

    weights: Mapping[str, float]
    excluded: set[str]
    categories: Sequence[str]


class _Step(NamedTuple):
    """Books that are proposed for one reason, the best first."""

    reason: Reason
    books: Sequence[str]


class _Kept(NamedTuple):
    """The proposals that a user had a moment ago."""

    until: float
    """In the time of the event loop."""
    limit: int
    steps: Sequence[_Step]
    excluded: set[str]
    filled: bool
    """Whether they were enough; otherwise there are no others."""


class PairReader:
    """Reads what is bought, and bought together, from the file that the service shop writes on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places = asyncio.Semaphore(_READS_AT_ONCE)
        self._failed = False
        self._popular: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def list_bought(self, tenant: str, user: str) -> tuple[list[str], set[str]]:
        """Returns the last 50 books that a user has bought, and all of them."""

        def read() -> tuple[list[str], set[str]]:
            with open_pairs(self._path, tenant) as pairs:
                return ([], set()) if pairs is None else pairs.list_bought(user)

        async with self._places:
            try:
                return await asyncio.to_thread(read)
            except StoreError as error:
                self._report(error)
                return [], set()

    async def rank(self, tenant: str, known: Mapping[str, float]) -> list[str]:
        """Returns books that were bought together with known ones, the best first."""

        def read() -> list[str]:
            with open_pairs(self._path, tenant) as pairs:
                return [] if pairs is None else rank_books(score_books(known, pairs))

        async with self._places:
            try:
                found = await asyncio.to_thread(read)
            except StoreError as error:
                self._report(error)
                return []
        self._failed = False
        return found

    async def list_popular(self, tenant: str) -> list[str]:
        """Returns the books in most purchases of the last 90 days, as of a minute ago at most."""
        now = asyncio.get_running_loop().time()
        until, books = self._popular.get(tenant, (0.0, []))
        if until > now:
            return books

        def read() -> list[str]:
            today = datetime.datetime.now(datetime.UTC).date()
            with open_pairs(self._path, tenant) as pairs:
                first = today - datetime.timedelta(days=SALES_DAYS)
                return [] if pairs is None else pairs.list_popular(first, today, _POPULAR)

        async with self._places:
            try:
                books = await asyncio.to_thread(read)
            except StoreError as error:
                self._report(error)
                return []
        _keep_newest(self._popular, tenant, (now + _KEPT_SECONDS, books))
        return books

    def _report(self, error: StoreError) -> None:
        if not self._failed:
            structlog.get_logger().warning("recommendations_unreadable", reason=error.message)
        self._failed = True


class RecommendationRoutes:
    """Recommendations. Where nothing is known, they are similar books, those of a category, and popular ones.

    What is proposed to a user is kept for a minute. Whether a book can be bought, and what the user has bought or put
    into the cart, is read for each request.
    """

    def __init__(
        self, persistence: Backend[PersistenceClient], tenants: TenantDirectory, index: BookIndex, pairs: PairReader
    ) -> None:
        self._records = persistence
        self._tenants = tenants
        self._index = index
        self._pairs = pairs
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    @route(
        "GET",
        "/api/v1/books/recommendations/{id}",
        id="recommend_get_books",
        tag="books",
        access=SIGNED_IN,
        summary="Recommend books to you",
        description="`id` is your own, or `me`. From what you have bought, your favourites and your cart.",
        query=RecommendationQuery,
        responses={200: ResponseSpec(Recommendations, "Books, the best first")},
        errors=("not_found", "invalid_params", *UPSTREAM_ERRORS),
        limit_group="search",
    )
    async def _recommend(self, request: HttpRequest) -> HttpResponse:
        query: RecommendationQuery = request.query
        tenant, user = request.principal.tenant, request.principal.user
        check_tenant(tenant, query.tenant_id)
        if user is None or request.id not in ("me", user):
            raise NotFound(
                "there is no such user", field="id", hint="your own id, or me", reason=ErrorReason("account_unknown")
            )
        (last, bought), cart = await asyncio.gather(
            self._pairs.list_bought(tenant, user), load_cart(self._records.of(tenant).lookups, user)
        )
        owned = {*bought, *cart.lines}
        kept, now = self._kept.get((tenant, user)), asyncio.get_running_loop().time()
        if kept is not None and kept.until > now and kept.limit >= query.limit:
            found = await self._fill(tenant, owned | kept.excluded, query.limit, _replay(kept.steps), [])
            if found.total == query.limit or not kept.filled:
                return json_response(found)
        known = await self._load_known(tenant, user, [*last, *cart.lines], owned)
        steps: list[_Step] = []
        found = await self._fill(tenant, known.excluded, query.limit, self._propose(tenant, known, query.limit), steps)
        filled = found.total == query.limit
        made = _Kept(now + _KEPT_SECONDS, query.limit, steps, known.excluded, filled)
        _keep_newest(self._kept, (tenant, user), made)
        return json_response(found)

    @route(
        "GET",
        "/api/v1/books/{id}/related",
        id="related_get_books",
        tag="books",
        access=PUBLIC,
        summary="List books that go with a book",
        query=RecommendationQuery,
        responses={200: ResponseSpec(Recommendations, "Books, the best first")},
        errors=("not_found", "invalid_params", "forbidden", *UPSTREAM_ERRORS),
        limit_group="search",
    )
    async def _list_related(self, request: HttpRequest) -> HttpResponse:
        query: RecommendationQuery = request.query
        tenant = request.principal.tenant
        check_tenant(tenant, query.tenant_id)
        found = await shop.get_book(self._records.of(tenant).lookups, request.id)
        categories = [found.book.category] if found.book.category else []
        known = _Known({found.book.book: 1.0}, {found.book.book}, categories)
        steps = self._propose(tenant, known, query.limit)
        return packed_response(request, await self._fill(tenant, known.excluded, query.limit, steps, []))

    async def _load_known(self, tenant: str, user: str, latest: Sequence[str], owned: set[str]) -> _Known:
        records = self._records.of(tenant).lookups
        favorites, account = await asyncio.gather(list_favorites(records, user), load_account(records, user))
        weights = {one.book: _FAVORITE_WEIGHT for one in favorites[:_FAVORITES]}
        weights |= dict.fromkeys(latest, 1.0)
        categories = [] if account is None else account.preferences.categories
        return _Known(weights, owned | set(weights), categories)

    async def _fill(
        self, tenant: str, excluded: set[str], limit: int, steps: AsyncIterable[_Step], taken_steps: list[_Step]
    ) -> Recommendations:
        """Takes books from each step until there are enough, and adds the steps that it has read to `taken_steps`."""
        currency = await load_currency(self._tenants, tenant)
        records = self._records.of(tenant).lookups
        taken: dict[str, Recommendation] = {}
        async for reason, books in steps:
            proposed = [book for book in dict.fromkeys(books) if book not in excluded and book not in taken]
            wanted = proposed[: _SURPLUS * limit]
            taken_steps.append(_Step(reason, wanted))
            for one in await shop.get_books(records, wanted):
                if len(taken) < limit and one is not None and is_for_sale(one.book, one.stock):
                    taken[one.book.book] = Recommendation(show_book(one, tenant, currency), reason)
            if len(taken) == limit:
                break
        return Recommendations(list(taken.values()), len(taken))

    async def _propose(self, tenant: str, known: _Known, limit: int) -> AsyncIterator[_Step]:
        """Yields the steps; each is looked for when it is reached."""
        records = self._records.of(tenant).lookups
        if known.weights:
            yield _Step("bought_together", await self._pairs.rank(tenant, known.weights))
        yield _Step("similar", await self._find_similar(tenant, records, known, limit))
        sold = await self._pairs.list_popular(tenant)
        if known.categories:
            keys = set(map(make_name_key, known.categories))
            read = await shop.get_books(records, sold)
            yield _Step("category", [one.book.book for one in read if one and make_name_key(one.book.category) in keys])
            filters = BookFilters(categories=tuple(known.categories[:20]), in_stock=True, price_from=1)
            yield _Step("category", await self._find_popular(tenant, filters, limit, known))
        yield _Step("popular", sold)
        filters = BookFilters(in_stock=True, price_from=1)
        yield _Step("popular", await self._find_popular(tenant, filters, limit, known))

    async def _find_similar(self, tenant: str, records: PersistenceClient, known: _Known, limit: int) -> Sequence[str]:
        described = await shop.get_books(records, list(known.weights)[:_DESCRIBED])
        texts = [
            f"{one.book.title} {one.book.author} {one.book.category} {one.book.subcategory}"
            for one in described
            if one is not None
        ]
        if not texts:
            return []
        return await self._index.similar(tenant, " ".join(texts), min(_SURPLUS * limit, 100))

    async def _find_popular(self, tenant: str, filters: BookFilters, limit: int, known: _Known) -> Sequence[str]:
        wanted = min(_SURPLUS * limit + len(known.excluded), 100)
        search = BookSearch(filters=filters, sort="popularity", limit=wanted)
        return [hit.book for hit in (await self._index.search(tenant, search)).hits]


async def _replay(steps: Sequence[_Step]) -> AsyncIterator[_Step]:
    for step in steps:
        yield step


def _keep_newest(kept: OrderedDict[K, V], key: K, value: V) -> None:
    """Keeps a value, and not those that were made longest ago if there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _KEPT:
        kept.popitem(last=False)
