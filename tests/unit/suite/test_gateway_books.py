"""Books over HTTP, in this process: added, found, listed page by page, changed under a condition, and deleted."""

import asyncio
import json
from typing import Any

import pytest

from clients.persistence import PersistenceClient
from clients.shop.listing import list_newest
from shared.domain.isbn import complete_isbn
from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp

BOOKS = "/api/v1/books"
SENT = {
    "isbn": "0-439-02348-3",
    "title": "Cien años de soledad",
    "author": "Gabriel García Márquez",
    "editorial": "Cátedra",
    "category": "Novela",
    "price": 12.9,
    "stock_quantity": 3,
}


async def add(http: InProcessHttp, number: int | None = None, **changes: Any) -> Reply:
    named = {} if number is None else {"isbn": complete_isbn(f"978{number:09}"), "title": f"Libro {number:03}"}
    return await http.post(BOOKS, {**SENT, **named, **changes})


async def fill(http: InProcessHttp, count: int) -> list[str]:
    """Adds books; returns their titles, newest first."""
    for number in range(count):
        assert (await add(http, number)).status == 201
    return [f"Libro {number:03}" for number in reversed(range(count))]


def titles(page: Any) -> list[str]:
    return [book["title"] for book in page["data"]]


async def test_a_book_is_added_and_found_by_every_way_to_write_its_isbn(http: InProcessHttp) -> None:
    answer = await add(http, subcategory="Realismo mágico", publication_year=1967, rating=4.5, pages=471)
    assert answer.status == 201
    book = answer.json["book"]
    assert answer.json["message"] == "Libro creado exitosamente"
    assert answer.headers["location"] == f"{BOOKS}/{answer.json['book_id']}"
    assert b'"price":12.90' in answer.body
    assert (book["isbn"], book["tenant_id"], book["currency"]) == ("9780439023481", "main", "ARS")
    assert (book["stock_quantity"], book["available"], book["reason"], book["is_active"]) == (3, True, None, True)
    for isbn in ("0-439-02348-3", "0439023483", "978-0-439-02348-1", "9780439023481", "978%200439023481"):
        assert (await http.get(f"{BOOKS}/by-isbn/{isbn}")).json == book
    shown = await http.get(f"{BOOKS}/{book['book_id']}?tenant_id=main")
    assert (shown.json, shown.headers["etag"]) == (book, answer.headers["etag"])
    assert (await http.get(f"{BOOKS}/by-isbn/9780439023482")).problem["status"] == 422
    assert (await http.get(f"{BOOKS}/by-isbn/9780000000002")).problem["error"] == "not_found"
    assert (await http.get(f"{BOOKS}/nothing")).problem["error"] == "not_found"


async def test_an_isbn_is_in_a_shop_once(http: InProcessHttp) -> None:
    answers = await asyncio.gather(*(add(http) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201, *[409] * 7]
    problem = next(answer.problem for answer in answers if answer.status == 409)
    assert (problem["error"], problem["field"]) == ("conflict", "isbn")
    assert (await http.get(BOOKS)).json["pagination"]["total_items"] == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"isbn": "9780439023482"}, "isbn"), ({"title": " "}, "title"), ({"price": 0}, "price"),
        ({"price": 1.234}, "price"), ({"price": 1e400}, "price"), ({"stock_quantity": -1}, "stock_quantity"),
        ({"author": None}, "author"),
        ({"rating": 6}, "rating"), ({"cover_image_url": "javascript:x"}, "cover_image_url"), ({"extra": 1}, "extra"),
        ({"publication_year": 2200}, "publication_year"), ({"title": "a\u0000"}, "title"),
    ],
)  # fmt: skip
async def test_a_book_that_does_not_fit_names_its_field(
    http: InProcessHttp, changes: dict[str, Any], field: str
) -> None:
    body = json.dumps({**SENT, **changes}).replace("Infinity", "1e400").encode()
    problem = (await http.ask("POST", BOOKS, body, headers={"Content-Type": "application/json"})).problem
    assert (problem["error"], problem["field"]) == ("invalid_params", field)


async def test_unknown_tenants_in_a_request_are_refused(http: InProcessHttp) -> None:
    added = (await add(http)).json["book_id"]
    for answer in (
        await http.get(f"{BOOKS}?tenant_id=other"),
        await http.get(f"{BOOKS}/{added}?tenant_id=other"),
        await add(http, 1, tenant_id="other"),
        await http.ask("DELETE", f"{BOOKS}/{added}?tenant_id=other"),
    ):
        assert (answer.problem["error"], answer.problem["field"]) == ("forbidden", "tenant_id")


async def test_tenants_have_their_own_books_and_currencies(http: InProcessHttp, cli: InProcessCli) -> None:
    assert (await cli.run("tenant", "add", "tokio", "--currency", "JPY", "--exponent", "0"))[0] == 0
    main = (await add(http)).json["book"]
    other = (await http.post(BOOKS, {**SENT, "price": 1500}, X_Tenant_Id="tokio")).json["book"]
    assert (other["tenant_id"], other["price"], other["currency"]) == ("tokio", 1500, "JPY")
    refused = await http.post(BOOKS, {**SENT, "isbn": "9780000000002", "price": 15.5}, X_Tenant_Id="tokio")
    assert refused.problem["field"] == "price"
    assert (await http.get(f"{BOOKS}/{main['book_id']}", X_Tenant_Id="tokio")).status == 404
    assert titles((await http.get(BOOKS, X_Tenant_Id="tokio")).json) == [SENT["title"]]
    await fill(http, 3)
    cursor = (await http.get(f"{BOOKS}?limit=2")).json["pagination"]["next_cursor"]
    assert (await http.get(f"{BOOKS}?cursor={cursor}", X_Tenant_Id="tokio")).problem["error"] == "invalid_params"
    etag = (await http.get(f"{BOOKS}/{main['book_id']}")).headers["etag"]
    assert (await http.get(f"{BOOKS}/{main['book_id']}", X_Tenant_Id="tokio", If_None_Match=etag)).status == 404


async def test_changes_meet_the_version_that_was_seen(http: InProcessHttp) -> None:
    answer = await add(http)
    path, etag = answer.headers["location"], answer.headers["etag"]
    assert (await http.get(path, If_None_Match=etag)).status == 304
    changed = await http.ask("PUT", path, {"price": 9.9}, headers={"If-Match": etag})
    assert (changed.status, changed.json["message"]) == (200, "Libro actualizado exitosamente")
    assert (changed.json["book"]["price"], changed.json["book"]["title"]) == (9.9, SENT["title"])
    assert (await http.ask("PUT", path, {"price": 1}, headers={"If-Match": etag})).status == 412
    assert (await http.ask("PUT", path, {"price": 1}, headers={"If-Match": '"odd"'})).status == 412
    assert (await http.ask("DELETE", path, headers={"If-Match": etag})).status == 412
    assert (await http.get(path, If_None_Match=etag)).status == 200
    stocked = await http.ask("PUT", path, {"stock_quantity": 0}, headers={"If-Match": changed.headers["etag"]})
    assert (stocked.json["book"]["available"], stocked.json["book"]["reason"]) == (False, "out_of_stock")
    # A sale refuses no new price, and a new count of copies.
    assert (
        await http.ask("PUT", path, {"stock_quantity": 9}, headers={"If-Match": changed.headers["etag"]})
    ).status == 412
    assert (await http.ask("PUT", path, {"isbn": "x"})).problem["field"] == "isbn"
    assert (await http.ask("PUT", f"{BOOKS}/none", {"price": 1})).status == 404


async def test_a_deleted_book_is_gone_for_readers(http: InProcessHttp) -> None:
    path = (await add(http)).headers["location"]
    answer = await http.ask("DELETE", path)
    assert (answer.status, answer.json) == (200, {"message": "Libro eliminado exitosamente"})
    for again in (
        await http.get(path),
        await http.ask("DELETE", path),
        await http.get(f"{BOOKS}/by-isbn/0439023483"),
        await http.ask("PUT", path, {"price": 1}),
    ):
        assert again.status == 404
    page = (await http.get(BOOKS)).json
    assert (page["data"], page["pagination"]["total_items"], page["pagination"]["total_pages"]) == ([], 0, 0)
    assert (await add(http)).status == 201


async def test_pages_have_all_members_of_the_envelope(http: InProcessHttp) -> None:
    newest = await fill(http, 25)
    first = (await http.get(f"{BOOKS}?limit=10")).json
    assert titles(first) == newest[:10]
    cursors = first["pagination"].pop("next_cursor"), first["pagination"].pop("previous_cursor")
    assert (isinstance(cursors[0], str), cursors[1]) == (True, None)
    assert first["pagination"] == {
        "current_page": 1,
        "total_pages": 3,
        "total_items": 25,
        "items_per_page": 10,
        "has_next": True,
        "has_previous": False,
    }
    last = (await http.get(f"{BOOKS}?limit=10&page=3")).json
    assert titles(last) == newest[20:]
    assert (last["pagination"]["has_next"], last["pagination"]["has_previous"]) == (False, True)
    assert last["pagination"]["next_cursor"] is None
    assert titles((await http.get(f"{BOOKS}?page=9")).json) == []
    assert len((await http.get(f"{BOOKS}?limit=500")).json["data"]) == 25
    for query in ("limit=0", "limit=x", "page=0", "page=51", "page=99999", "cursor=x", "odd=1"):
        assert (await http.get(f"{BOOKS}?{query}")).problem["error"] == "invalid_params"


async def test_cursors_lead_to_each_book_once_while_others_come_and_go(http: InProcessHttp) -> None:
    newest = await fill(http, 25)
    seen: list[str] = []
    page = (await http.get(f"{BOOKS}?limit=7")).json
    number = 100
    while True:
        seen += titles(page)
        # What is added or deleted meanwhile moves no page.
        await add(http, number)
        number += 1
        if len(seen) == 14:
            gone = page["data"][-1]["book_id"]
            await http.ask("DELETE", f"{BOOKS}/{gone}")
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            break
        page = (await http.get(f"{BOOKS}?limit=7&cursor={cursor}")).json
    assert seen == newest
    assert page["pagination"]["current_page"] == 4
    back: list[str] = []
    while (cursor := page["pagination"]["previous_cursor"]) is not None:
        page = (await http.get(f"{BOOKS}?limit=7&cursor={cursor}")).json
        back = titles(page) + back
    assert back[-20:] == [title for title in newest[:21] if title != newest[13]]
    assert (page["pagination"]["current_page"], page["pagination"]["has_previous"]) == (1, False)


async def test_a_store_that_is_away_is_no_empty_catalogue(suite: Suite) -> None:
    http = InProcessHttp(await suite.start_gateway())
    assert (await http.get(BOOKS)).problem["error"] == "unavailable"


async def test_a_loaded_catalogue_is_shown(http: InProcessHttp, suite: Suite, cli: InProcessCli) -> None:
    text = "isbn,title,price\n0439023483,A,9.5\n,Sin ISBN,\n"
    assert (await cli.run("shop", "load", "-", "--stock", "2", stdin=text))[0] == 0
    found = {book["title"]: book for book in (await http.get(BOOKS)).json["data"]}
    assert (found["A"]["price"], found["A"]["available"]) == (9.5, True)
    assert (found["Sin ISBN"]["isbn"], found["Sin ISBN"]["price"], found["Sin ISBN"]["reason"]) == (
        None,
        None,
        "no_price",
    )
    async with suite.persistence() as client:
        assert isinstance(client, PersistenceClient)
        stock = await client.get_item("Stock", {"store": "Main", "item": found["A"]["book_id"]})
    assert stock.item is not None
    assert stock.item["count"] == 2


async def test_a_page_that_was_kept_shows_what_has_changed_since(http: InProcessHttp) -> None:
    await fill(http, 3)
    assert titles((await http.get(f"{BOOKS}?limit=2")).json) == ["Libro 002", "Libro 001"]
    newest, middle = (await http.get(f"{BOOKS}?limit=2")).json["data"]
    await http.ask("PUT", f"{BOOKS}/{middle['book_id']}", {"title": "Otro", "stock_quantity": 77})
    changed = (await http.get(f"{BOOKS}?limit=2")).json["data"][1]
    assert (changed["title"], changed["stock_quantity"]) == ("Otro", 77)
    await add(http, 3)
    assert titles((await http.get(f"{BOOKS}?limit=2")).json) == ["Libro 003", "Libro 002"]
    await http.ask("DELETE", f"{BOOKS}/{newest['book_id']}")
    page = (await http.get(f"{BOOKS}?limit=2")).json
    assert (titles(page), page["pagination"]["total_items"]) == (["Libro 003", "Otro"], 3)


async def test_a_page_is_put_together_once_until_books_are_added(
    http: InProcessHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(http, 1)
    made = []

    async def list_some(*_: Any, **options: Any) -> list[str]:
        made.append(options)
        return await list_newest(*_, **options)

    monkeypatch.setattr("services.gateway.api.shop.books.list_newest", list_some)
    for _ in range(3):
        assert titles((await http.get(BOOKS)).json) == ["Libro 000"]
    assert len(made) == 1
    await http.get(f"{BOOKS}?limit=7")
    assert len(made) == 2
