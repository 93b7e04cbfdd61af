"""The search of books over HTTP, in this process: the service of the shop follows the records, the gateway finds."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from clients.accounts.tenants import add_tenant
from clients.shop.books import change_book
from clients.shop.search_state import load_progress
from services.shop import book_documents
from shared.domain.errors import IndexBehind
from shared.search.port import BookFilters, BookSearch
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp
from tests.support.simulation import pass_time_until
from tests.unit.suite.test_gateway_books import BOOKS, add, titles

SEARCH = f"{BOOKS}/search"


@pytest.fixture
async def shop(suite: Suite, http: InProcessHttp) -> InProcessHttp:
    """A client of a gateway before a shop whose search index is built."""
    await suite.start_shop()
    await pass_time_until(lambda: suite.books.position("main"))
    return http


async def found(http: InProcessHttp, query: str, count: int = 1) -> Any:
    """Waits until a search finds so many books; returns the page."""

    async def look() -> Any:
        page = (await http.get(f"{SEARCH}?{query}")).json
        return page if page["pagination"]["total_items"] == count else None

    return await pass_time_until(look)


async def test_a_new_book_is_found_and_a_changed_and_a_deleted_one_are_followed(shop: InProcessHttp) -> None:
    book = (await add(shop, subcategory="Realismo mágico")).json["book"]
    page = await found(shop, "q=ANOS&facets=category,price,rating")
    assert page["data"] == [book]
    assert page["facets"]["category"] == [{"value": "Novela", "count": 1}]
    assert {"low": 10.0, "high": 20.0, "count": 1} in page["facets"]["price"]
    assert "language" not in page["facets"]
    path = f"{BOOKS}/{book['book_id']}"
    await shop.ask("PUT", path, {"title": "El otoño del patriarca", "price": 8, "stock_quantity": 0})
    await found(shop, "q=soledad", 0)
    assert (await found(shop, "q=otono&price_to=8.00"))["data"][0]["price"] == 8
    assert titles(await found(shop, "q=otono&in_stock=true", 0)) == []
    await shop.ask("DELETE", path)
    # At once, before the index has noticed.
    assert (await shop.get(f"{SEARCH}?q=patriarca")).json["data"] == []
    assert (await shop.get(f"{BOOKS}/suggest?q=patr")).json == {"suggestions": []}
    await found(shop, "q=patriarca", 0)


async def test_fifty_edits_on_the_data_port_are_each_found_within_a_second(shop: InProcessHttp, suite: Suite) -> None:
    """Titles and prices in turn. The old words, price and order are gone at the same moment."""
    for number in range(3):
        await add(shop, number, price=100)
    await found(shop, "q=libro", 3)
    edited = (await suite.books.search("main", BookSearch(text="libro"))).hits[0].book

    async def search(**members: Any) -> list[str]:
        return [hit.book for hit in (await suite.books.search("main", BookSearch(fuzzy="never", **members))).hits]

    async def is_found(number: int, price: int) -> bool:
        same_price = BookFilters(price_from=price, price_to=price)
        by_price = await search(sort="price")
        return (
            await search(text=f"t{number}") == await search(filters=same_price) == [edited]
            and await search(text=f"t{number - 1}") == []
            and by_price.index(edited) == (0 if price < 10_000 else 2)
        )

    clock, price = asyncio.get_running_loop().time, 9_999
    async with suite.persistence() as records:
        await change_book(records, edited, {"price": price})
        for number in range(50):
            title = number // 2
            if number % 2:
                price = number + (9_000 if price > 10_000 else 11_000)
            await change_book(records, edited, {"price": price} if number % 2 else {"title": f"Otro t{title}"})
            deadline = clock() + 1
            while not await is_found(title, price):
                assert clock() < deadline, "an edit is not found within a second"
                await asyncio.sleep(0.01)


async def test_books_are_filtered_sorted_and_paged_both_ways(shop: InProcessHttp) -> None:
    for number in range(7):
        await add(shop, number, price=10 + number % 3, category="A" if number % 2 else "B")
    await found(shop, "q=libro", 7)
    everything = (await shop.get(f"{BOOKS}?sort=price&order=desc&limit=100")).json["data"]
    assert [book["price"] for book in everything] == [12, 12, 11, 11, 10, 10, 10]
    first = (await shop.get(f"{BOOKS}?sort=price&order=desc&limit=3")).json
    second = (await shop.get(f"{BOOKS}?sort=price&order=desc&limit=3&cursor={first['pagination']['next_cursor']}")).json
    assert first["data"] + second["data"] == everything[:6]
    assert (await shop.get(f"{BOOKS}?sort=price&order=desc&limit=3&page=2")).json["data"] == second["data"]
    back = second["pagination"]["previous_cursor"]
    assert (await shop.get(f"{BOOKS}?sort=price&order=desc&limit=3&cursor={back}")).json["data"] == first["data"]
    other = await shop.get(f"{BOOKS}?sort=price&order=asc&limit=3&cursor={back}")
    assert other.problem["field"] == "cursor"
    page = (await shop.get(f"{BOOKS}?category=A&facets=category")).json
    assert page["pagination"]["total_items"] == 3
    assert [one["count"] for one in page["facets"]["category"]] == [4, 3]
    assert (await shop.get(f"{BOOKS}?category=A|B&price_from=12")).json["pagination"]["total_items"] == 2


@pytest.mark.parametrize("query", ["q=" + "x" * 201, "q=" + "a+" * 17, "q=a&facets=colour", "q=a&price_from=-1", ""])
async def test_a_search_that_cannot_be_is_refused(shop: InProcessHttp, query: str) -> None:
    assert (await shop.get(f"{SEARCH}?{query}")).status == 422


async def test_categories_authors_and_suggestions_are_listed(shop: InProcessHttp) -> None:
    await add(shop, 1, category="Novela", subcategory="Negra", author="Zoe Ruiz, Ana Paz")
    await add(shop, 2, category="Novela", subcategory="Rosa", author="Ana Paz")
    await add(shop, 3, category="Arte", author="Ángel Sol")
    await found(shop, "q=libro", 3)
    shown = (await shop.get(f"{BOOKS}/categories")).json
    assert shown["categories"] == ["Arte", "Novela"]
    assert shown["data"][1] == {
        "name": "Novela",
        "count": 2,
        "subcategories": [{"value": "Negra", "count": 1}, {"value": "Rosa", "count": 1}],
    }
    page = (await shop.get(f"{BOOKS}/authors?limit=2")).json
    assert page["data"] == ["Ana Paz", "Ángel Sol"]
    assert page["authors"][0] == {"value": "Ana Paz", "count": 2}
    after = (await shop.get(f"{BOOKS}/authors?limit=2&cursor={page['pagination']['next_cursor']}")).json
    assert after["data"] == ["Zoe Ruiz"]
    back = (await shop.get(f"{BOOKS}/authors?limit=2&cursor={after['pagination']['previous_cursor']}")).json
    assert back["data"] == page["data"]
    suggested = (await shop.get(f"{BOOKS}/suggest?q=ana+p")).json["suggestions"]
    assert {"kind": "author", "text": "Ana Paz", "book": None} in suggested


async def test_without_an_index_the_answer_is_503_and_the_list_of_books_works(
    suite: Suite, http: InProcessHttp
) -> None:
    await add(http)
    answer = await http.get(f"{SEARCH}?q=soledad")
    assert (answer.status, answer.problem["error"]) == (503, "unavailable")
    assert "search index of main" in answer.problem["detail"]
    assert len((await http.get(BOOKS)).json["data"]) == 1
    await suite.start_shop()

    async def look() -> bool:
        return (await http.get(f"{SEARCH}?q=soledad")).status == 200

    await pass_time_until(look)
    # A book from before the service was there.
    await found(http, "q=soledad")
    await suite.books.drop("main")
    await pass_time_until(look)
    await found(http, "q=soledad")
    assert (await http.get("/ready")).json["dependencies"]["shop"]["status"] in ("ok", "degraded")


async def test_edits_are_found_by_a_service_that_starts_with_its_clock_set_back(
    suite: Suite, http: InProcessHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with suite.run_shop(), suite.persistence() as client:
        await pass_time_until(lambda: suite.books.position("main"))
        path = f"{BOOKS}/{(await add(http)).json['book']['book_id']}"
        await found(http, "q=soledad")
        await pass_time_until(lambda: load_progress(client))
    monkeypatch.setattr(book_documents, "time", SimpleNamespace(time_ns=lambda: 0))
    async with suite.run_shop():
        await http.ask("PUT", path, {"title": "El otoño del patriarca"})
        await found(http, "q=otono")
        await found(http, "q=soledad", 0)


async def test_shops_find_only_their_own_books(suite: Suite, shop: InProcessHttp) -> None:
    async with suite.persistence() as client:
        await add_tenant(client, "acme", {})
    await pass_time_until(lambda: suite.books.position("acme"))
    await add(shop)
    await shop.ask("POST", BOOKS, {**SENT_ACME}, headers={"X-Tenant-Id": "acme"})
    await found(shop, "q=soledad")

    async def look() -> Any:
        page = (await shop.get(f"{SEARCH}?q=soledad&facets=author", X_Tenant_Id="acme")).json
        return page if page["pagination"]["total_items"] else None

    page = await pass_time_until(look)
    assert [book["tenant_id"] for book in page["data"]] == ["acme"]
    assert page["facets"]["author"] == [{"value": "Acme", "count": 1}]


SENT_ACME = {
    "isbn": "0-439-02348-3",
    "title": "Soledad",
    "author": "Acme",
    "editorial": "Acme",
    "category": "Acme",
    "price": 1,
    "stock_quantity": 1,
}


async def test_an_index_is_built_anew_when_it_is_asked_for(
    suite: Suite, shop: InProcessHttp, cli: InProcessCli, log: list[Any]
) -> None:
    await add(shop)
    await found(shop, "q=soledad")
    status, shown, _ = await cli.run("shop", "reindex")
    assert (status, shown) == (0, [{"tenant": "main", "state": "built"}])
    assert [entry["event"] for entry in log].count("search_index_built") == 2
    await found(shop, "q=soledad")
    assert (await cli.run("ready", "shop"))[0] == 0


async def test_an_index_that_cannot_store_changes_is_behind_and_catches_up(
    suite: Suite, shop: InProcessHttp, log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise IndexBehind("the disk is full")

    async def look() -> Any:
        state = (await shop.get("/ready")).json["dependencies"]["shop"]
        return state if state["status"] == "degraded" else None

    await add(shop, 1)
    await found(shop, "q=libro")
    with monkeypatch.context() as patch:
        patch.setattr(suite.books, "apply", refuse)
        await add(shop, 2)
        state = await pass_time_until(look)
        assert state["reason"] == "the search index cannot store changes: main"
        assert [entry["event"] for entry in log].count("search_index_behind") == 1
        # It answers with older data.
        await found(shop, "q=libro")
    await found(shop, "q=libro", 2)
