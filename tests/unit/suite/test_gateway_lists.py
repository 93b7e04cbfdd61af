"""Favourites and wishes of users over the routes of the gateway, before a persistence server in this process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from clients.persistence import PersistenceClient
from clients.shop.books import change_book, create_book, delete_book
from services.gateway.api.shop.envelope import ListQuery, TenantQuery
from services.gateway.api.shop.lists import ShopListRoutes, WishQuery
from services.gateway.http.principal import Principal
from services.gateway.http.routes import HttpRequest, Route, collect_routes
from services.gateway.identity.tenants import TenantDirectory, read_tenants
from services.gateway.upstream.backend import Backend
from shared.domain.errors import Forbidden, InvalidParams, NotFound
from shared.domain.isbn import complete_isbn
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp

FAVORITES, WISHES = "/api/v1/users/favorites", "/api/v1/users/wishlist"


class Lists:
    """The routes of lists, used by one account."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = {(route.method, route.path): route for route in routes}

    async def ask(self, method: str, path: str, book: str = "", *, user: str = "ana", query: Any = None) -> Any:
        """Calls a route; returns its body."""
        route = self._routes[method, path + ("/{id}" if book else "")]
        assert route.access.signed_in
        request = HttpRequest({"headers": []}, "r", {"id": book})
        request.principal = Principal(kind="account", user=user, tenant="main")
        assert route.query is not None
        request.query = route.query() if query is None else query
        answer = await route.handler(request)
        assert isinstance(answer.body, bytes)
        return msgspec.json.decode(answer.body)

    async def walk(self, path: str, limit: int) -> list[Any]:
        """Returns the pages of a list, by cursors."""
        pages = [await self.ask("GET", path, query=ListQuery(limit=limit))]
        while (cursor := pages[-1]["pagination"]["next_cursor"]) is not None:
            pages.append(await self.ask("GET", path, query=ListQuery(limit=limit, cursor=cursor)))
        return pages


@pytest.fixture
async def records(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """A client of a persistence server."""
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client


@pytest.fixture
async def routes(records: PersistenceClient) -> Lists:
    """The routes of lists before the persistence server."""
    clock = asyncio.get_running_loop().time
    tenants = TenantDirectory(lambda: read_tenants(records), clock)
    return Lists(collect_routes(ShopListRoutes(Backend("persistence", [records, records], max_waiting=100), tenants)))


async def add_books(records: PersistenceClient, count: int) -> list[str]:
    found = []
    for number in range(count):
        isbn = complete_isbn(f"978{number:09}")
        stored = await create_book(records, {"isbn": isbn, "title": f"T{number}", "author": "A", "price": 1290}, 1)
        found.append(stored.book.book)
    return found


def ids(page: Any) -> list[str]:
    return [entry["book_id"] for entry in page["data"]]


async def test_favorites_come_newest_first_and_page_by_page(records: PersistenceClient, routes: Lists) -> None:
    books = await add_books(records, 5)
    for book in books:
        assert await routes.ask("POST", FAVORITES, book) == {"message": "Libro agregado a favoritos"}
    pages = await routes.walk(FAVORITES, 2)
    assert [ids(page) for page in pages] == [books[:2:-1], books[2:0:-1], books[:1]]
    assert [page["pagination"]["current_page"] for page in pages] == [1, 2, 3]
    assert {page["pagination"]["total_items"] for page in pages} == {5}
    back = pages[-1]["pagination"]["previous_cursor"]
    # An entry that is gone moves no page.
    await routes.ask("DELETE", FAVORITES, books[0])
    before = await routes.ask("GET", FAVORITES, query=ListQuery(limit=2, cursor=back))
    assert (ids(before), before["pagination"]["current_page"]) == (ids(pages[1]), 2)
    assert ids(await routes.ask("GET", FAVORITES, query=ListQuery(limit=2, page=2))) == ids(pages[1])
    (entry,) = (await routes.ask("GET", FAVORITES, query=ListQuery(limit=1)))["data"]
    assert {name: entry[name] for name in ("user_id", "tenant_id", "title", "price", "available")} == {
        "user_id": "ana",
        "tenant_id": "main",
        "title": "T4",
        "price": 12.9,
        "available": True,
    }
    with pytest.raises(NotFound):
        await routes.ask("POST", FAVORITES, "none")


async def test_lists_belong_to_their_user(records: PersistenceClient, routes: Lists) -> None:
    books = await add_books(records, 3)
    for book in books:
        await routes.ask("POST", FAVORITES, book)
        await routes.ask("POST", WISHES, book)
    cursor = (await routes.ask("GET", FAVORITES, query=ListQuery(limit=1)))["pagination"]["next_cursor"]
    for path in (FAVORITES, WISHES):
        assert ids(await routes.ask("GET", path, user="eva")) == []
        await routes.ask("DELETE", path, books[0], user="eva")
        assert len(ids(await routes.ask("GET", path))) == 3
        query = ListQuery(cursor=cursor)
        with pytest.raises(InvalidParams):
            await routes.ask("GET", path, user="eva" if path == FAVORITES else "ana", query=query)
    with pytest.raises(Forbidden):
        await routes.ask("POST", FAVORITES, books[0], query=TenantQuery(tenant_id="other"))


async def test_wishes_tell_what_became_cheaper_or_is_gone(records: PersistenceClient, routes: Lists) -> None:
    books = await add_books(records, 4)
    for book, priority in zip(books, (3, 99, -1, 3), strict=True):
        await routes.ask("POST", WISHES, book, query=WishQuery(priority=priority))
    await change_book(records, books[0], {"price": 990})
    await change_book(records, books[3], {"price": 1990}, 0)
    await delete_book(records, books[2])
    entries = (await routes.ask("GET", WISHES))["data"]
    assert [(entry["book_id"], entry["priority"]) for entry in entries] == [
        (books[2], 1), (books[0], 3), (books[3], 3), (books[1], 5),
    ]  # fmt: skip
    found = [(entry["price"], entry["price_when_added"], entry["cheaper"], entry["reason"]) for entry in entries]
    assert found == [
        (12.9, 12.9, False, "not_listed"),
        (9.9, 12.9, True, None),
        (19.9, 12.9, False, "out_of_stock"),
        (12.9, 12.9, False, None),
    ]
    pages = await routes.walk(WISHES, 3)
    assert [len(page["data"]) for page in pages] == [3, 1]
    back = pages[1]["pagination"]["previous_cursor"]
    assert ids(await routes.ask("GET", WISHES, query=ListQuery(limit=3, cursor=back))) == ids(pages[0])


async def test_lists_need_an_account(http: InProcessHttp) -> None:
    for method, path in (("GET", FAVORITES), ("POST", f"{FAVORITES}/x"), ("GET", WISHES), ("DELETE", f"{WISHES}/x")):
        assert (await http.ask(method, path)).problem["error"] == "unauthorized"


async def test_a_customer_keeps_lists_and_changes_no_book(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    person = {"email": "ana@x.es", "password": "siete gatos verdes", "first_name": "Ana", "last_name": "Paz"}
    token = (await http.post("/api/v1/users/register", person)).json["token"]
    signed_in = {"Authorization": f"Bearer {token}"}
    async with suite.persistence() as records:
        (book,) = await add_books(records, 1)
    assert (await http.ask("POST", f"{FAVORITES}/{book}", headers=signed_in)).status == 200
    assert (await http.ask("POST", f"{WISHES}/{book}?priority=9", headers=signed_in)).status == 200
    assert ids((await http.ask("GET", FAVORITES, headers=signed_in)).json) == [book]
    assert (await http.ask("GET", WISHES, headers=signed_in)).json["data"][0]["priority"] == 5
    path = f"/api/v1/books/{book}"
    assert (await http.ask("GET", path, headers=signed_in)).status == 200
    for method, body in (("PUT", {"price": 1}), ("DELETE", None)):
        assert (await http.ask(method, path, body, headers=signed_in)).problem["error"] == "forbidden"
    assert (await http.ask("POST", f"{path}/cover", b"x", headers=signed_in)).problem["error"] == "forbidden"
    assert (await http.get(path)).json["price"] == 12.9
