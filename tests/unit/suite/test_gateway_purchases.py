"""Carts and purchases over the routes of the gateway, before a persistence server in this process."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from clients.accounts.tenants import update_tenant
from clients.persistence import PersistenceClient
from clients.shop.books import change_book, create_book
from shared.domain.errors import Conflict
from shared.domain.isbn import complete_isbn
from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp

CART, PURCHASES = "/api/v1/cart", "/api/v1/purchases"
BODY = {"payment_method": "card", "shipping_address": {"street": "Mayor 1", "zip": 2820}}


class Shop:
    """A shop of the tenant `main`, its books, and its customers."""

    def __init__(self, suite: Suite, http: InProcessHttp, books: list[str]) -> None:
        self.suite = suite
        self.books = books
        self._http = http

    async def sign_in(self, name: str) -> Mapping[str, str]:
        """Registers a customer; returns the headers of its requests."""
        person = {"email": f"{name}@x.es", "password": "siete gatos verdes", "first_name": name, "last_name": "Paz"}
        token = (await self._http.post("/api/v1/users/register", person)).json["token"]
        return {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """Sends a request, with the `headers` of a customer and others whose underscores stand for hyphens."""
        headers = dict(options.pop("headers", {}))
        headers |= {name.replace("_", "-"): value for name, value in options.items()}
        return await self._http.ask(method, path, body, headers=headers)

    async def add(self, headers: Mapping[str, str], book: int = 0, quantity: int = 1) -> Reply:
        """Adds copies of a book to a cart."""
        body = {"book_id": self.books[book], "quantity": quantity}
        return await self.ask("POST", f"{CART}/add", body, headers=headers)


@pytest.fixture
async def shop(suite: Suite) -> Shop:
    """A shop with three books of ten copies."""
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    async with suite.persistence() as records:
        books = [await add_book(records, number) for number in range(3)]
        await update_tenant(records, "main", {"name": "Main", "currency": "EUR", "tax_rates": {"*": "4"}})
    return Shop(suite, http, books)


async def add_book(records: PersistenceClient, number: int) -> str:
    isbn = complete_isbn(f"978{number:09}")
    members = {"isbn": isbn, "title": f"T{number}", "author": "A", "category": "Novela", "price": 1299}
    return (await create_book(records, members, 10)).book.book


async def test_a_customer_buys_what_is_in_the_cart(shop: Shop) -> None:
    ana = await shop.sign_in("ana")
    added = await shop.add(ana, 0, 2)
    assert (added.status, added.json["message"], added.json["total_items"], added.json["cart_token"]) == (
        200, "Producto agregado al carrito", 2, None,
    )  # fmt: skip
    await shop.add(ana, 0)
    found = await shop.ask("GET", CART, headers=ana)
    (line,) = found.json["items"]
    assert (line["quantity"], line["unit_price"], line["subtotal"], line["available"]) == (3, 12.99, 38.97, True)
    assert line["book_details"]["stock_quantity"] == 10
    summary = {"total_items": 3, "total_amount": 38.97, "net_amount": 37.47, "tax_amount": 1.5}
    assert found.json["summary"].items() >= summary.items()
    made = await shop.ask(
        "POST", f"{PURCHASES}/checkout", {**BODY, "expected_total": 38.97}, headers=ana, Idempotency_Key="k"
    )
    assert (made.status, made.json["message"], made.json["total_amount"], made.json["items_purchased"]) == (
        201, "Compra procesada exitosamente", 38.97, 1,
    )  # fmt: skip
    path = f"{PURCHASES}/{made.json['purchase_id']}"
    assert made.headers["location"] == path
    shown = (await shop.ask("GET", path, headers=ana)).json
    assert shown == made.json["purchase"]
    assert (shown["status"], shown["shipping_address"], shown["tax_amount"]) == (
        "pending",
        BODY["shipping_address"],
        1.5,
    )
    again = await shop.ask(
        "POST", f"{PURCHASES}/checkout", {**BODY, "expected_total": 38.97}, headers=ana, Idempotency_Key="k"
    )
    assert (again.status, again.json["purchase_id"]) == (200, shown["purchase_id"])
    other = await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana, Idempotency_Key="k")
    assert (other.status, other.problem["field"]) == (422, "Idempotency-Key")
    empty = await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana)
    assert (empty.status, empty.problem["cart"]) == (409, {"reason": "empty"})
    sums = (await shop.ask("GET", f"{PURCHASES}/analytics/summary", headers=ana)).json
    assert sums["summary"] == {
        "total_purchases": 1, "total_spent": 38.97, "average_order_value": 38.97, "currency": "EUR",
    }  # fmt: skip
    assert sums["category_breakdown"] == {"Novela": 3}
    cancelled = await shop.ask("POST", f"{path}/cancel", headers=ana)
    assert (cancelled.status, cancelled.json["purchase"]["status"]) == (200, "cancelled")
    assert (await shop.ask("GET", f"{PURCHASES}?status=pending", headers=ana)).json["data"] == []


async def test_purchases_of_others_do_not_exist(shop: Shop) -> None:
    ana, eva = await shop.sign_in("ana"), await shop.sign_in("eva")
    await shop.add(ana)
    purchase = (await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana)).json["purchase_id"]
    for method, end in (("GET", ""), ("POST", "/cancel")):
        answers = [await shop.ask(method, f"{PURCHASES}/{one}{end}", headers=eva) for one in (purchase, "made-up")]
        assert {(one.status, one.problem["detail"]) for one in answers} == {(404, "there is no such purchase")}
        assert (await shop.ask(method, f"{PURCHASES}/{purchase}{end}")).status == 401
    assert (await shop.ask("GET", PURCHASES, headers=eva)).json["pagination"]["total_items"] == 0


async def test_purchases_come_newest_first_and_page_by_page(shop: Shop) -> None:
    ana = await shop.sign_in("ana")
    made = []
    for _ in range(5):
        await shop.add(ana)
        made.append((await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana)).json["purchase_id"])
    first = (await shop.ask("GET", f"{PURCHASES}?limit=2", headers=ana)).json
    assert [one["purchase_id"] for one in first["data"]] == made[:2:-1]
    assert (first["pagination"]["total_items"], first["pagination"]["total_pages"]) == (5, 3)
    cursor = first["pagination"]["next_cursor"]
    await shop.ask("POST", f"{PURCHASES}/{made[4]}/cancel", headers=ana)
    second = (await shop.ask("GET", f"{PURCHASES}?limit=2&cursor={cursor}", headers=ana)).json
    assert [one["purchase_id"] for one in second["data"]] == made[2:0:-1]
    assert (await shop.ask("GET", f"{PURCHASES}?limit=2&status=pending&cursor={cursor}", headers=ana)).status == 422
    pending = (await shop.ask("GET", f"{PURCHASES}?status=pending", headers=ana)).json["data"]
    assert [one["purchase_id"] for one in pending] == made[3::-1]


async def test_a_guest_keeps_a_cart_and_signs_in(shop: Shop) -> None:
    added = await shop.add({})
    token = added.headers["x-cart-token"]
    assert added.json["cart_token"] == token
    guest = {"X-Cart-Token": token}
    await shop.add(guest, 1, 2)
    assert (await shop.ask("GET", CART, headers=guest)).json["summary"]["total_items"] == 3
    # Another guest has another cart, and one without a token an empty one.
    assert (await shop.ask("GET", CART)).json["items"] == []
    assert (await shop.ask("GET", CART, headers={"X-Cart-Token": "x" * 43})).json["items"] == []
    assert (await shop.ask("GET", CART, headers={"X-Cart-Token": "../x"})).status == 422
    assert (await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=guest)).status == 401
    assert (await shop.ask("GET", CART, headers={"Authorization": "Bearer old", **guest})).status == 401
    ana = await shop.sign_in("ana")
    await shop.add(ana, 1)
    merged = await shop.ask("POST", f"{CART}/merge", headers={**ana, **guest})
    assert (merged.json["merged"], merged.json["left_out"], merged.json["total_items"]) == (2, [], 4)
    merged = await shop.ask("POST", f"{CART}/merge", headers={**ana, **guest})
    assert (merged.json["merged"], merged.json["total_items"]) == (0, 4)
    assert (await shop.ask("POST", f"{CART}/merge", headers=ana)).problem["field"] == "X-Cart-Token"


async def test_a_cart_meets_the_version_that_was_seen(shop: Shop) -> None:
    ana = await shop.sign_in("ana")
    etag = (await shop.add(ana)).headers["etag"]
    await shop.add(ana, 1)
    path = f"{CART}/update/{shop.books[0]}"
    assert (await shop.ask("PUT", path, {"quantity": 2}, headers=ana, If_Match=etag)).status == 412
    assert (await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana, If_Match=etag)).status == 412
    etag = (await shop.ask("GET", CART, headers=ana)).headers["etag"]
    assert (await shop.ask("PUT", path, {"quantity": 2}, headers=ana, If_Match=etag)).json["total_items"] == 3
    removed = await shop.ask("DELETE", f"{CART}/remove/{shop.books[1]}", headers=ana)
    assert (removed.json["message"], removed.json["total_items"]) == ("Producto removido del carrito", 2)
    assert (await shop.ask("DELETE", f"{CART}/clear", headers=ana)).json["message"] == "Carrito vaciado"
    assert (await shop.ask("GET", CART, headers=ana)).json["items"] == []


@pytest.mark.parametrize("quantity", [0, -1, 1.5, 10**9, "2", None])
async def test_a_quantity_is_a_number_of_copies(shop: Shop, quantity: Any) -> None:
    body = {"book_id": shop.books[0], "quantity": quantity}
    assert (await shop.ask("POST", f"{CART}/add", body)).status == 422


@pytest.mark.parametrize("book", ["%00", "%E2%80%8B", "x" * 3000, "none"])
async def test_a_book_that_cannot_be_is_not_found(shop: Shop, book: str) -> None:
    for method, path, body in (
        ("PUT", f"{CART}/update/{book}", {"quantity": 1}),
        ("GET", f"/api/v1/books/{book}", None),
    ):
        refused = await shop.ask(method, path, body)
        assert (refused.status, refused.problem["code"]) == (404, "book_unknown")


async def test_the_cart_of_a_guest_becomes_that_of_the_user_who_signs_in(shop: Shop) -> None:
    ana = await shop.sign_in("ana")
    guest = {"X-Cart-Token": (await shop.add({}, 0)).json["cart_token"]}
    await shop.add(guest, 1, 2)
    await shop.add(ana, 1)
    await shop.add(ana, 2)
    person = {"email": "ana@x.es", "password": "siete gatos verdes"}
    first = await shop.ask("POST", "/api/v1/users/login", person, headers=guest)
    assert first.json["cart"] == {"merged": 2, "left_out": [], "total_items": 5}
    found = (await shop.ask("GET", CART, headers=ana)).json["items"]
    assert {line["book_id"]: line["quantity"] for line in found} == dict(zip(shop.books, (1, 3, 1), strict=True))
    second = await shop.ask("POST", "/api/v1/users/login", person, headers=guest)
    assert second.json["cart"] == {"merged": 0, "left_out": [], "total_items": 5}
    assert (await shop.ask("GET", CART, headers=guest)).json["items"] == []
    assert "cart" not in (await shop.ask("POST", "/api/v1/users/login", person)).json
    new = {"X-Cart-Token": (await shop.add({}, 2)).json["cart_token"]}
    other = {**person, "email": "eva@x.es", "first_name": "Eva", "last_name": "Paz"}
    made = await shop.ask("POST", "/api/v1/users/register", other, headers=new)
    assert made.json["cart"] == {"merged": 1, "left_out": [], "total_items": 1}


async def test_a_browser_keeps_the_token_of_a_guest_in_a_cookie(shop: Shop) -> None:
    cookie = (await shop.add({}, 0)).headers["set-cookie"]
    sent, _, rest = cookie.partition(";")
    assert rest == " Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax"
    browser = {"Cookie": f"theme=dark; {sent}"}
    again = await shop.add(browser, 1)
    assert again.headers["set-cookie"] == cookie
    assert (await shop.ask("GET", CART, headers=browser)).json["summary"]["total_items"] == 2
    # A program that sends the header has no use for a cookie.
    assert "set-cookie" not in (await shop.add({"X-Cart-Token": again.json["cart_token"]}, 1)).headers
    ana = await shop.sign_in("ana")
    merged = await shop.ask("POST", f"{CART}/merge", headers={**ana, **browser})
    assert (merged.json["merged"], merged.headers["set-cookie"].partition(";")[0]) == (2, "comanda_cart=")
    forged = {"Cookie": "comanda_cart=../../x"}
    assert (await shop.ask("GET", CART, headers=forged)).json["items"] == []


async def test_a_page_whose_session_has_ended_changes_no_cart_of_a_guest(shop: Shop) -> None:
    await shop.sign_in("ana")
    person = {"email": "ana@x.es", "password": "siete gatos verdes", "cookie": True}
    session = (await shop.ask("POST", "/api/v1/users/login", person)).headers["set-cookie"].partition(";")[0]
    page = {"Cookie": session}
    await shop.add(page, 0, 2)
    assert "set-cookie" not in (await shop.ask("GET", "/api/v1/principal", headers=page)).headers
    assert (await shop.ask("POST", "/api/v1/users/logout", headers=page)).status == 200
    update = f"{CART}/update/{shop.books[0]}"
    for method, path, body in (
        ("GET", CART, None),
        ("PUT", update, {"quantity": 3}),
        ("DELETE", f"{CART}/clear", None),
    ):
        refused = await shop.ask(method, path, body, headers=page)
        assert (refused.status, refused.json["code"]) == (401, "session_ended"), method
    assert (await shop.add(page)).status == 401
    # The next page of the browser is a guest's.
    seen = await shop.ask("GET", "/api/v1/principal", headers=page)
    assert (seen.json["kind"], seen.headers["set-cookie"].partition(";")[0]) == ("anonymous", "comanda_session=")
    again = (await shop.ask("POST", "/api/v1/users/login", person)).headers["set-cookie"].partition(";")[0]
    assert (await shop.ask("GET", CART, Cookie=again)).json["summary"]["total_items"] == 2


async def test_a_sign_in_does_not_fail_with_the_merge_of_the_cart(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise Conflict("busy")

    await shop.sign_in("ana")
    cookie = (await shop.add({}, 0)).headers["set-cookie"].partition(";")[0]
    monkeypatch.setattr("services.gateway.api.shop.guest_carts.merge_guest_cart", fail)
    person = {"email": "ana@x.es", "password": "siete gatos verdes"}
    reply = await shop.ask("POST", "/api/v1/users/login", person, Cookie=cookie)
    assert (reply.status, reply.json["cart"]) == (200, None)
    assert "set-cookie" not in reply.headers


async def test_what_cannot_be_bought_is_said_line_by_line(shop: Shop) -> None:
    ana = await shop.sign_in("ana")
    for book in range(3):
        await shop.add(ana, book, 2)
    async with shop.suite.persistence() as records:
        await change_book(records, shop.books[0], {"price": 1399})
    up = await shop.ask("POST", f"{PURCHASES}/checkout", {**BODY, "expected_total": 77.94}, headers=ana)
    assert (up.status, up.problem["cart"]["reason"], up.problem["cart"]["total_amount"]) == (409, "price", 79.94)
    changed = [(line["changed"]) for line in (await shop.ask("GET", CART, headers=ana)).json["items"]]
    assert changed == ["up", None, None]
    async with shop.suite.persistence() as records:
        await change_book(records, shop.books[1], {}, 1)
    assert (up.problem["code"], up.problem["params"]) == (
        "price_higher",
        {"total": 79.94, "expected": 77.94, "currency": "EUR"},
    )
    refused = (await shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana)).problem
    assert (refused["code"], refused["params"]) == ("lines_unavailable", {"count": 1})
    (line,) = refused["errors"]
    assert (line["code"], line["params"]["book_id"], line["params"]["asked"], line["params"]["left"]) == (
        "out_of_stock",
        shop.books[1],
        2,
        1,
    )
    short = refused["cart"]
    assert [(line["book_id"], line["reason"], line["left"]) for line in short["lines"]] == [
        (shop.books[1], "out_of_stock", 1)
    ]
    more = await shop.add(ana, 2, 9)
    assert (more.status, more.problem["cart"]["left"]) == (409, 10)
    for wrong in (
        {"payment_method": "card"},
        {**BODY, "shipping_address": {}},
        {**BODY, "shipping_address": {"street": "Mayor\x00 1"}},
        {**BODY, "payment_method": ""},
        {**BODY, "expected_total": -1},
        {**BODY, "user_id": "eva"},
    ):
        assert (await shop.ask("POST", f"{PURCHASES}/checkout", wrong, headers=ana)).status == 422
    both = (await shop.ask("POST", f"{PURCHASES}/checkout", {"payment_method": ""}, headers=ana)).problem["errors"]
    assert [(one["field"], one["code"]) for one in both] == [
        ("payment_method", "min_length"),
        ("shipping_address", "required"),
    ]


async def test_one_key_is_one_purchase_over_http(shop: Shop) -> None:
    ana = await shop.sign_in("ana")
    await shop.add(ana)
    answers = await asyncio.gather(
        *(shop.ask("POST", f"{PURCHASES}/checkout", BODY, headers=ana, Idempotency_Key="k") for _ in range(12))
    )
    assert sorted(one.status for one in answers) == [200] * 11 + [201]
    assert len({one.json["purchase_id"] for one in answers}) == 1


async def test_customers_of_several_gateways_buy_what_there_is(shop: Shop, suite: Suite) -> None:
    others = [InProcessHttp(await suite.start_gateway()) for _ in range(3)]
    gateways = [shop, *(Shop(suite, http, shop.books) for http in others)]
    customers = [(gateways[number % 4], await shop.sign_in(f"u{number}")) for number in range(12)]
    async with suite.persistence() as records:
        await change_book(records, shop.books[0], {}, 5)
    added = await asyncio.gather(*(gateway.add(customer) for gateway, customer in customers))
    assert {one.status for one in added} == {200}
    answers = await asyncio.gather(
        *(gateway.ask("POST", f"{PURCHASES}/checkout", BODY, headers=customer) for gateway, customer in customers)
    )
    assert sorted(one.status for one in answers) == [201] * 5 + [409] * 7
    assert {one.problem["errors"][0]["params"]["left"] for one in answers if one.status == 409} == {0}
    for (gateway, customer), answer in zip(customers, answers, strict=True):
        bought = (await gateway.ask("GET", PURCHASES, headers=customer)).json["data"]
        assert len(bought) == (answer.status == 201)
