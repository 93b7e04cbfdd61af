"""Lists of a shop's users: favourites and wishes, each with what their books cost now."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta, Struct

from clients.persistence import PersistenceClient
from clients.shop import lists
from clients.shop.lists import DEFAULT_PRIORITY, FIRST_PRIORITY, LAST_PRIORITY, ListedBook
from services.gateway.api.account_bodies import Message
from services.gateway.api.shop.envelope import (
    ListQuery,
    Pagination,
    TenantId,
    TenantQuery,
    cut_page,
    own_account,
)
from services.gateway.api.shop.views import Currency, load_currency, show_price
from services.gateway.http.principal import SIGNED_IN
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.upstream.backend import Backend
from shared.domain.books import Obstacle, obstacle_to_sale

_FAVORITES: Final = "/api/v1/users/favorites"
_WISHES: Final = "/api/v1/users/wishlist"


class WishQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The priority of a wish."""

    priority: Annotated[
        int,
        Meta(ge=-1_000_000, le=1_000_000, description=f"{FIRST_PRIORITY}, the most wanted, to {LAST_PRIORITY}; is cut"),
    ] = DEFAULT_PRIORITY
    tenant_id: TenantId | None = None


class FavoriteView(Struct, frozen=True, kw_only=True):
    """A favourite book with its price of today. `reason` says why it cannot be bought; a deleted book stays listed."""

    user_id: str
    tenant_id: str
    book_id: str
    added_at: str
    title: str | None
    author: str | None
    cover_image_url: str
    price: Decimal | None
    currency: str
    available: bool
    reason: Obstacle | None


class WishView(FavoriteView, frozen=True, kw_only=True):
    """A wish: `cheaper` tells whether the book costs less than when it was added."""

    priority: int
    price_when_added: Decimal | None
    cheaper: bool


class FavoritePage(Struct, frozen=True):
    """Favourites, newest first."""

    data: Sequence[FavoriteView]
    pagination: Pagination


class WishPage(Struct, frozen=True):
    """Wishes, the most wanted first."""

    data: Sequence[WishView]
    pagination: Pagination


class _Listed(NamedTuple):
    """One page of a list, and its position."""

    entries: Sequence[ListedBook]
    pagination: Pagination
    currency: Currency


class ShopListRoutes:
    """Favourites and wishes of the user who is signed in."""

    def __init__(self, persistence: Backend[PersistenceClient], tenants: TenantDirectory) -> None:
        self._records = persistence
        self._tenants = tenants

    @route(
        "GET",
        _FAVORITES,
        id="list_get_favorites",
        tag="lists",
        access=SIGNED_IN,
        summary="List your favourite books, newest first",
        query=ListQuery,
        responses={200: ResponseSpec(FavoritePage, "A page of favourites")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_favorites(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        entries = await lists.list_favorites(self._records.of(tenant).lists, user)
        found = await self._cut_page(request, "favorites", entries, lambda one: f"{one.added_at} {one.book}", True)
        shown = [FavoriteView(**_members(one, tenant, user, found.currency)) for one in found.entries]
        return json_response(FavoritePage(shown, found.pagination))

    @route(
        "POST",
        "/api/v1/users/favorites/{id}",
        id="add_post_favorites",
        tag="lists",
        access=SIGNED_IN,
        summary="Add a book to your favourites",
        query=TenantQuery,
        responses={200: ResponseSpec(Message, "It is in the list")},
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _add_favorite(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        await lists.add_favorite(self._records.of(tenant).lookups, user, request.id)
        return json_response(Message("Libro agregado a favoritos"))

    @route(
        "DELETE",
        "/api/v1/users/favorites/{id}",
        id="remove_delete_favorites",
        tag="lists",
        access=SIGNED_IN,
        summary="Remove a book from your favourites",
        query=TenantQuery,
        responses={200: ResponseSpec(Message, "It is not in the list")},
        errors=UPSTREAM_ERRORS,
    )
    async def _remove_favorite(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        await lists.remove_favorite(self._records.of(tenant).lookups, user, request.id)
        return json_response(Message("Libro removido de favoritos"))

    @route(
        "GET",
        _WISHES,
        id="list_get_wishlist",
        tag="lists",
        access=SIGNED_IN,
        summary="List your wishes, the most wanted first",
        query=ListQuery,
        responses={200: ResponseSpec(WishPage, "A page of wishes")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_wishes(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        entries = await lists.list_wishes(self._records.of(tenant).lists, user)
        found = await self._cut_page(
            request, "wishlist", entries, lambda one: f"{one.priority} {one.added_at} {one.book}", False
        )
        return json_response(
            WishPage([_show_wish(one, tenant, user, found.currency) for one in found.entries], found.pagination)
        )

    @route(
        "POST",
        "/api/v1/users/wishlist/{id}",
        id="add_post_wishlist",
        tag="lists",
        access=SIGNED_IN,
        summary="Add a book to your wishlist, or change its priority",
        description="The price and the time of the first addition stay.",
        query=WishQuery,
        responses={200: ResponseSpec(Message, "It is in the list")},
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _add_wish(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        priority = min(max(request.query.priority, FIRST_PRIORITY), LAST_PRIORITY)
        await lists.add_wish(self._records.of(tenant).lookups, user, request.id, priority)
        return json_response(Message("Libro agregado a lista de deseos"))

    @route(
        "DELETE",
        "/api/v1/users/wishlist/{id}",
        id="remove_delete_wishlist",
        tag="lists",
        access=SIGNED_IN,
        summary="Remove a book from your wishlist",
        query=TenantQuery,
        responses={200: ResponseSpec(Message, "It is not in the list")},
        errors=UPSTREAM_ERRORS,
    )
    async def _remove_wish(self, request: HttpRequest) -> HttpResponse:
        tenant, user = own_account(request)
        await lists.remove_wish(self._records.of(tenant).lookups, user, request.id)
        return json_response(Message("Libro removido de lista de deseos"))

    async def _cut_page(
        self,
        request: HttpRequest,
        name: str,
        entries: Sequence[ListedBook],
        key: Callable[[ListedBook], str],
        down: bool,
    ) -> _Listed:
        """Returns the page of a list that a request asks for, sorted by `key` or `down`, with its books."""
        query: ListQuery = request.query
        tenant, user = own_account(request)
        scope = {"list": name, "tenant": tenant, "user": user}
        listed, pagination = cut_page(query, scope, entries, key, descending=down)
        shown = await lists.attach_books(self._records.of(tenant).lists, listed)
        return _Listed(shown, pagination, await load_currency(self._tenants, tenant))


def _members(entry: ListedBook, tenant: str, user: str, currency: Currency) -> dict[str, Any]:
    stored = entry.stored
    book = None if stored is None else stored.book
    reason: Obstacle | None = "not_listed" if stored is None else obstacle_to_sale(stored.book, stored.stock)
    return {
        "user_id": user,
        "tenant_id": tenant,
        "book_id": entry.book,
        "added_at": entry.added_at,
        "title": None if book is None else book.title,
        "author": None if book is None else book.author,
        "cover_image_url": "" if book is None else book.cover_image_url,
        "price": None if book is None else show_price(book.price, currency),
        "currency": currency.code,
        "available": reason is None,
        "reason": reason,
    }


def _show_wish(entry: ListedBook, tenant: str, user: str, currency: Currency) -> WishView:
    price = None if entry.stored is None else entry.stored.book.price
    before = entry.price_when_added
    return WishView(
        **_members(entry, tenant, user, currency),
        priority=entry.priority,
        price_when_added=show_price(before, currency),
        cheaper=price is not None and before is not None and price < before,
    )
