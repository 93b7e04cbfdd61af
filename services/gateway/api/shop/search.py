"""The search of books: by words, by what a user has typed so far, and by the names of categories and authors."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from services.gateway.api.shop.book_finder import BookFinder, BookPage, CategoryView
from services.gateway.api.shop.envelope import (
    PageLimit,
    PageNumber,
    Pagination,
    TenantId,
    TenantQuery,
    build_pagination,
    check_depth,
    check_tenant,
    cut_limit,
    open_cursor,
)
from services.gateway.api.shop.search_query import SearchQuery, Text
from services.gateway.http.parameters import Cursor
from services.gateway.http.principal import PUBLIC
from services.gateway.http.responses import json_response, packed_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from shared.search.analysis import make_name_key
from shared.search.port import FacetValue, Suggestion

_SEARCH: Final = "search"
_ERRORS: Final = ("invalid_params", "forbidden", "not_found", *UPSTREAM_ERRORS)
_MAX_SUGGESTIONS: Final = 20
_DEEPEST: Final = 10_000


class SuggestQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text that a user has typed so far; the last word may be incomplete."""

    q: Text
    limit: Annotated[int, Meta(ge=1, le=_MAX_SUGGESTIONS, description="How many, at most")] = 8
    tenant_id: TenantId | None = None


class Suggestions(Struct, frozen=True):
    """Titles and authors that complete the text, the most popular first."""

    suggestions: Sequence[Suggestion]


class Categories(Struct, frozen=True):
    """All categories by name, and how many books each has."""

    categories: Sequence[str]
    data: Sequence[CategoryView]


class AuthorsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of authors."""

    page: PageNumber = 1
    limit: PageLimit = 50
    cursor: Cursor | None = None
    tenant_id: TenantId | None = None


class AuthorPage(Struct, frozen=True):
    """Authors by name, and how many books each has. Of more than 10,000 those with the most books are listed."""

    data: Sequence[str]
    authors: Sequence[FacetValue]
    pagination: Pagination


class SearchRoutes:
    """The search below /api/v1/books. It answers 503 while the index of a shop is being built."""

    def __init__(self, finder: BookFinder) -> None:
        self._finder = finder

    @route(
        "GET",
        "/api/v1/books/search",
        id="search_get_books",
        tag="books",
        access=PUBLIC,
        summary="Search books by words, or by an ISBN",
        description="Accents, case and plurals make no difference, and no character has a special meaning.",
        query=SearchQuery,
        responses={200: ResponseSpec(BookPage, "A page of books")},
        errors=_ERRORS,
        limit_group=_SEARCH,
    )
    async def _search_books(self, request: HttpRequest) -> HttpResponse:
        query: SearchQuery = request.query
        tenant = request.principal.tenant
        check_tenant(tenant, query.tenant_id)
        return packed_response(request, await self._finder.find_page(tenant, query))

    @route(
        "GET",
        "/api/v1/books/suggest",
        id="suggest_get_books",
        tag="books",
        access=PUBLIC,
        summary="Complete what a user types",
        query=SuggestQuery,
        responses={200: ResponseSpec(Suggestions, "Titles and authors")},
        errors=_ERRORS,
        limit_group=_SEARCH,
    )
    async def _suggest(self, request: HttpRequest) -> HttpResponse:
        query: SuggestQuery = request.query
        tenant = request.principal.tenant
        check_tenant(tenant, query.tenant_id)
        return json_response(Suggestions(await self._finder.complete_text(tenant, query.q, query.limit)))

    @route(
        "GET",
        "/api/v1/books/categories",
        id="categories_get_books",
        tag="books",
        access=PUBLIC,
        summary="List the categories with their subcategories",
        query=TenantQuery,
        responses={200: ResponseSpec(Categories, "The categories")},
        errors=_ERRORS,
        limit_group=_SEARCH,
    )
    async def _list_categories(self, request: HttpRequest) -> HttpResponse:
        tenant = request.principal.tenant
        check_tenant(tenant, request.query.tenant_id)
        found = await self._finder.list_categories(tenant)
        return json_response(Categories([one.name for one in found], found))

    @route(
        "GET",
        "/api/v1/books/authors",
        id="authors_get_books",
        tag="books",
        access=PUBLIC,
        summary="List the authors by name",
        query=AuthorsQuery,
        responses={200: ResponseSpec(AuthorPage, "A page of authors")},
        errors=_ERRORS,
        limit_group=_SEARCH,
    )
    async def _list_authors(self, request: HttpRequest) -> HttpResponse:
        query: AuthorsQuery = request.query
        tenant = request.principal.tenant
        check_tenant(tenant, query.tenant_id)
        found = await self._finder.list_authors(tenant)
        scope, limit = {"list": "authors", "tenant": tenant}, cut_limit(query.limit)
        if query.cursor is None:
            start, page = check_depth(query.page, limit, _DEEPEST), query.page
        else:
            position = open_cursor(scope, query.cursor)
            place = (make_name_key(position.item), position.item)
            start = bisect_right(found, place, key=_name_place)
            if position.back:
                start = max(bisect_left(found, place, key=_name_place) - limit, 0)
            page = position.page if start else 1
        shown = found[start : start + limit]
        pagination = build_pagination(
            scope,
            page=page,
            limit=limit,
            total=len(found),
            first=shown[0].value if shown else None,
            last=shown[-1].value if shown else None,
            following=start + limit < len(found),
            before=start > 0,
        )
        return json_response(AuthorPage([one.value for one in shown], shown, pagination))


def _name_place(author: FacetValue) -> tuple[str, str]:
    return make_name_key(author.value), author.value
