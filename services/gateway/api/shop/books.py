"""Books of a shop: listed, looked at, added, changed and deleted."""

import asyncio
import datetime
from typing import Final

from msgspec import Struct

from clients.persistence import PersistenceClient
from clients.shop import books as shop
from clients.shop.books import StoredBook
from clients.shop.listing import list_newest, list_oldest
from services.gateway.api.account_bodies import Message
from services.gateway.api.shop.book_finder import BookFinder, BookPage
from services.gateway.api.shop.envelope import (
    TenantQuery,
    build_pagination,
    check_depth,
    check_tenant,
    cut_limit,
    open_cursor,
)
from services.gateway.api.shop.listed_pages import ListedPage, ListedPages
from services.gateway.api.shop.search_query import FilterQuery
from services.gateway.api.shop.views import BookView, load_currency, show_book, uploaded_name
from services.gateway.http.parameters import Match, NoneMatch
from services.gateway.http.principal import PUBLIC, STAFF
from services.gateway.http.responses import is_named, json_response, not_modified, packed_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.identity.tenants import TenantDirectory
from services.gateway.images.covers import CoverStore, remove_unused
from services.gateway.upstream.backend import Backend
from shared.domain.books import BookChange, NewBook, check_book_change, check_new_book
from shared.domain.errors import ErrorReason, PreconditionFailed

_PATH: Final = "/api/v1/books"
_DEEPEST: Final = 1000
"""Books that page numbers reach: each page is read from the newest book on."""
_DIGITS: Final = 15
_EXAMPLE: Final = {
    "isbn": "978-84-376-0494-7",
    "title": "Cien años de soledad",
    "author": "Gabriel García Márquez",
    "editorial": "Cátedra",
    "category": "Novela",
    "price": 12.9,
    "stock_quantity": 3,
}


class BookAdded(Struct, frozen=True):
    """A new book."""

    message: str
    book_id: str
    book: BookView


class BookChanged(Struct, frozen=True):
    """A changed book."""

    message: str
    book: BookView


class BookRoutes:
    """Everything below /api/v1/books. A shop's catalogue is public; its staff changes it."""

    def __init__(
        self,
        persistence: Backend[PersistenceClient],
        tenants: TenantDirectory,
        covers: CoverStore,
        finder: BookFinder,
    ) -> None:
        self._finder = finder
        self._pages = ListedPages()
        self._records = persistence
        self._tenants = tenants
        self._covers = covers

    @route(
        "GET",
        _PATH,
        id="list_get_books",
        tag="books",
        access=PUBLIC,
        summary="List the books of a shop, newest first",
        description="Filters, another order and facets are answered by the search index, which has a change within a "
        "second. Titles and prices ascend by default, all other orders descend.",
        query=FilterQuery,
        responses={200: ResponseSpec(BookPage, "A page of books")},
        errors=("invalid_params", "forbidden", "not_found", *UPSTREAM_ERRORS),
    )
    async def _list_books(self, request: HttpRequest) -> HttpResponse:
        query: FilterQuery = request.query
        tenant = request.principal.tenant
        check_tenant(tenant, query.tenant_id)
        if not query.is_plain:
            return packed_response(request, await self._finder.find_page(tenant, query))
        records = self._records.of(tenant).lists
        scope = {"list": "books", "tenant": tenant}
        limit = cut_limit(query.limit)
        count, currency = await asyncio.gather(shop.load_book_count(records), load_currency(self._tenants, tenant))
        asked = (tenant, query.page, limit, query.cursor)
        found = self._pages.find(asked, count.version)
        if found is None:
            found = await _read_page(records, query, scope, limit)
            self._pages.keep(asked, count.version, found)
        pagination = build_pagination(
            scope,
            page=found.page,
            limit=limit,
            total=count.listed,
            first=found.books[0] if found.books else None,
            last=found.books[-1] if found.books else None,
            following=found.following,
            before=found.before,
        )
        books = await self._finder.read_books(tenant, found.books, currency)
        return packed_response(request, BookPage(books, pagination))

    @route(
        "POST",
        _PATH,
        id="add_post_books",
        tag="books",
        access=STAFF,
        summary="Add a book",
        description="The ISBN may have 10 or 13 digits, with hyphens or without. A shop has each ISBN once.",
        body=NewBook,
        query=TenantQuery,
        example=_EXAMPLE,
        responses={201: ResponseSpec(BookAdded, "The book")},
        errors=("conflict", *UPSTREAM_ERRORS),
    )
    async def _add_book(self, request: HttpRequest) -> HttpResponse:
        sent: NewBook = request.body
        tenant = request.principal.tenant
        check_tenant(tenant, request.query.tenant_id, sent.tenant_id)
        currency = await load_currency(self._tenants, tenant)
        members = check_new_book(sent, exponent=currency.exponent, this_year=_this_year())
        stored = await shop.create_book(self._records.of(tenant).lookups, members, sent.stock_quantity)
        view = show_book(stored, tenant, currency)
        return json_response(
            BookAdded("Libro creado exitosamente", view.book_id, view),
            status=201,
            etag=etag_of(stored),
            location=f"{_PATH}/{view.book_id}",
        )

    @route(
        "GET",
        "/api/v1/books/by-isbn/{isbn}",
        id="by_isbn_get_books",
        tag="books",
        access=PUBLIC,
        summary="Look at the book with an ISBN",
        query=TenantQuery,
        headers=NoneMatch,
        responses={200: ResponseSpec(BookView, "The book"), 304: ResponseSpec(None, "It is what the ETag stands for")},
        errors=("not_found", "invalid_params", "forbidden", *UPSTREAM_ERRORS),
    )
    async def _show_by_isbn(self, request: HttpRequest) -> HttpResponse:
        check_tenant(request.principal.tenant, request.query.tenant_id)
        records = self._records.of(request.principal.tenant).lookups
        return await self._show(request, await shop.get_book_by_isbn(records, request.path_values["isbn"]))

    @route(
        "GET",
        "/api/v1/books/{id}",
        id="show_get_books",
        tag="books",
        access=PUBLIC,
        summary="Look at a book",
        query=TenantQuery,
        headers=NoneMatch,
        responses={200: ResponseSpec(BookView, "The book"), 304: ResponseSpec(None, "It is what the ETag stands for")},
        errors=("not_found", "forbidden", *UPSTREAM_ERRORS),
    )
    async def _show_book(self, request: HttpRequest) -> HttpResponse:
        check_tenant(request.principal.tenant, request.query.tenant_id)
        records = self._records.of(request.principal.tenant).lookups
        return await self._show(request, await shop.get_book(records, request.id))

    async def _show(self, request: HttpRequest, stored: StoredBook) -> HttpResponse:
        etag = etag_of(stored)
        if is_named(etag, request.headers.if_none_match):
            return not_modified(etag)
        tenant = request.principal.tenant
        return json_response(show_book(stored, tenant, await load_currency(self._tenants, tenant)), etag=etag)

    @route(
        "PUT",
        "/api/v1/books/{id}",
        id="change_put_books",
        tag="books",
        access=STAFF,
        summary="Change members of a book",
        description="Members that are not sent stay as they are; the ISBN never changes. With If-Match, a sale that "
        "happened meanwhile refuses a new stock_quantity, and no other change.",
        body=BookChange,
        query=TenantQuery,
        headers=Match,
        example={"price": 11.5, "stock_quantity": 8},
        responses={200: ResponseSpec(BookChanged, "The book")},
        errors=("not_found", "precondition_failed", "conflict", *UPSTREAM_ERRORS),
    )
    async def _change_book(self, request: HttpRequest) -> HttpResponse:
        sent: BookChange = request.body
        tenant = request.principal.tenant
        check_tenant(tenant, request.query.tenant_id, sent.tenant_id)
        currency = await load_currency(self._tenants, tenant)
        members = check_book_change(sent, exponent=currency.exponent, this_year=_this_year())
        stock = sent.stock_quantity if isinstance(sent.stock_quantity, int) else None
        seen = seen_versions(request.headers.if_match)
        records = self._records.of(tenant).lookups
        old: str | None = None
        if "cover_image_url" in members:
            old = uploaded_name((await shop.get_book(records, request.id)).book.cover_image_url, tenant)
        stored = await shop.change_book(records, request.id, members, stock, seen=seen)
        if old is not None and old != uploaded_name(stored.book.cover_image_url, tenant):
            await remove_unused(self._covers, tenant, request.id, old)
        view = show_book(stored, tenant, currency)
        return json_response(BookChanged("Libro actualizado exitosamente", view), etag=etag_of(stored))

    @route(
        "DELETE",
        "/api/v1/books/{id}",
        id="delete_delete_books",
        tag="books",
        access=STAFF,
        summary="Take a book off the list",
        description="It stays readable in purchases and in the lists of users, and its ISBN becomes free.",
        query=TenantQuery,
        headers=Match,
        responses={200: ResponseSpec(Message, "It is not listed any more")},
        errors=("not_found", "precondition_failed", "conflict", "forbidden", *UPSTREAM_ERRORS),
    )
    async def _delete_book(self, request: HttpRequest) -> HttpResponse:
        tenant = request.principal.tenant
        check_tenant(tenant, request.query.tenant_id)
        seen = seen_versions(request.headers.if_match)
        await shop.delete_book(self._records.of(tenant).lookups, request.id, seen=seen)
        return json_response(Message("Libro eliminado exitosamente"))


async def _read_page(records: PersistenceClient, query: FilterQuery, scope: object, limit: int) -> ListedPage:
    """Reads a page and one book more, which tells whether others follow."""
    if query.cursor is None:
        skip = check_depth(query.page, limit, _DEEPEST)
        found = await list_newest(records, limit=limit + 1, skip=skip)
        return ListedPage(found[:limit], query.page, len(found) > limit, query.page > 1)
    position = open_cursor(scope, query.cursor)
    if not position.back:
        found = await list_newest(records, limit=limit + 1, older_than=position.item)
        return ListedPage(found[:limit], position.page, len(found) > limit, True)
    found = await list_oldest(records, limit=limit + 1, newer_than=position.item)
    others = len(found) > limit
    return ListedPage(found[:limit][::-1], position.page if others else 1, True, others)


def _this_year() -> int:
    return datetime.datetime.now(datetime.UTC).year


def etag_of(stored: StoredBook) -> str:
    """Returns the entity tag of a book: the versions of its record and of its copies."""
    return f'"{stored.version}.{stored.stock_version}"'


def seen_versions(if_match: str | None) -> tuple[int, int] | None:
    """Returns the versions in the ETag that a client has seen, None for any. Raises PreconditionFailed."""
    if if_match is None or if_match.strip() == "*":
        return None
    version, _, stock = if_match.strip().removeprefix("W/").strip('"').partition(".")
    if not all(one.isascii() and one.isdigit() and len(one) <= _DIGITS for one in (version, stock)):
        raise PreconditionFailed(
            "nothing has this ETag",
            field="If-Match",
            hint="send the ETag that came with it",
            reason=ErrorReason("etag_invalid"),
        )
    return int(version), int(stock)
