"""Two tenants: nothing of one is shown to the other, by any route, list, cursor, entity tag or position."""

from typing import Any

import pytest

import services.gateway.app as gateway_app
from clients.accounts.tenants import add_tenant
from services.gateway.http.router import Router
from services.gateway.http.routes import PLACEHOLDER, Route
from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.members import Member, add_member
from tests.support.simulation import pass_time_until

MARK = "geheim"
"""Part of everything that the rival stores."""
STORE, ITEM = f"{MARK}laden", f"{MARK}ware"
SHEET = f"store,item,count\n{STORE},{ITEM},3\n{STORE},{ITEM}2,40\n"
BOOK = {
    "isbn": "9780439023481",
    "title": f"{MARK} title",
    "author": f"{MARK} author",
    "editorial": MARK,
    "category": MARK,
    "price": 12.9,
    "stock_quantity": 3,
}
CSV = {"Content-Type": "text/csv"}


class Tenant:
    """Requests of one member of a tenant."""

    def __init__(self, http: InProcessHttp, member: Member) -> None:
        self._http = http
        self.member = member

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._http.ask(method, path, body, headers={**self.member.token, **named})


class Rivals:
    """Two tenants of one gateway: `shop` with nothing, and `rival` with something behind every route."""

    def __init__(self, shop: Tenant, rival: Tenant, routes: list[Route], ids: dict[str, str]) -> None:
        self.shop = shop
        self.rival = rival
        self.routes = routes
        self.ids = ids
        """An id of the rival for each kind of thing, by the segment of the path before it."""


@pytest.fixture
async def rivals(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Rivals:
    routes: list[Route] = []

    def make_router(found: list[Route], *rest: Any, **options: Any) -> Router:
        routes.extend(found)
        return Router(found, *rest, **options)

    monkeypatch.setattr(gateway_app, "Router", make_router)
    await suite.start_persistence()
    await suite.start_distributed()
    await suite.start_inventory()
    await suite.start_shop()
    http = InProcessHttp(await suite.start_gateway(stage="test", lake="on"))
    async with suite.persistence() as records:
        for tenant in ("shop", "rival"):
            await add_tenant(records, tenant, {"name": tenant.title()})
        shop = Tenant(http, await add_member(records, "shop", "admin"))
        rival = Tenant(http, await add_member(records, "rival", "admin"))
    ids = await _fill(rival)
    return Rivals(shop, rival, routes, ids)


async def _fill(rival: Tenant) -> dict[str, str]:
    """Stores two of everything for the rival. Returns ids."""
    for _ in range(2):
        task = await rival.ask("POST", "/tasks", {"title": f"{MARK} task", "description": MARK})
        plain = await rival.ask("POST", "/legacy/tasks", {"title": f"{MARK} task"})
    uploads = [await rival.ask("POST", f"/items/upload?name={MARK}.csv", SHEET.encode(), Content_Type="text/csv")]
    more = SHEET.replace(STORE, f"{STORE}2").encode()
    uploads.append(await rival.ask("POST", f"/items/upload?name={MARK}2.csv", more, Content_Type="text/csv"))
    assert [one.status for one in uploads] == [201, 201], uploads[0].body
    book = await rival.ask("POST", "/api/v1/books", BOOK)
    assert book.status == 201, book.body
    other = await rival.ask("POST", "/api/v1/books", {**BOOK, "isbn": "9788437604947", "title": f"{MARK} 2"})
    # It is on no list, and is recommended.
    await rival.ask("POST", "/api/v1/books", {**BOOK, "isbn": "9788420412146", "title": f"{MARK} 3"})
    for one in (book, other):
        for path in ("favorites", "wishlist"):
            await rival.ask("POST", f"/api/v1/users/{path}/{one.json['book_id']}")
        assert (await rival.ask("PUT", f"/api/v1/books/{one.json['book_id']}", {"price": 9.5})).status == 200
        await rival.ask("POST", "/api/v1/cart/add", {"book_id": one.json["book_id"], "quantity": 1})
        address = {"payment_method": "card", "shipping_address": {"street": MARK}}
        bought = await rival.ask("POST", "/api/v1/purchases/checkout", address)
        assert bought.status == 201, bought.body

    async def has_movements_and_alerts() -> bool:
        movements = await rival.ask("GET", f"/items/{STORE}/{ITEM}/movements")
        alerts = await rival.ask("GET", "/alerts")
        return bool(movements.json["movements"]) and len(alerts.json["alerts"]) >= 1

    async def finds_its_books() -> bool:
        reply = await rival.ask("GET", f"/api/v1/books/search?q={MARK}")
        return reply.status == 200 and bool(reply.json["pagination"]["total_items"] == 3)

    async def has_notices() -> bool:
        return len((await rival.ask("GET", "/api/v1/users/notices")).json["data"]) == 2

    await pass_time_until(has_movements_and_alerts)
    await pass_time_until(has_notices)
    await pass_time_until(finds_its_books)
    keys = await rival.ask("GET", "/api/v1/api-keys")
    sessions = await rival.ask("GET", "/api/v1/sessions")
    return {
        "/tasks": task.json["id"],
        "/api/v1/tasks": task.json["id"],
        "/legacy/tasks": str(plain.json["id"]),
        "/imports": uploads[0].json["id"],
        "/api/v1/books": book.json["book_id"],
        "/api/v1/books/by-isbn": str(BOOK["isbn"]),
        "/api/v1/books/recommendations": rival.member.user,
        "/api/v1/users/favorites": book.json["book_id"],
        "/api/v1/users/wishlist": book.json["book_id"],
        "/api/v1/users/notices": (await rival.ask("GET", "/api/v1/users/notices")).json["data"][0]["notice_id"],
        "/api/v1/purchases": bought.json["purchase_id"],
        "/api/v1/users": rival.member.user,
        "/api/v1/api-keys": _first_id(keys),
        "/api/v1/sessions": _first_id(sessions),
    }


def _first_id(reply: Reply) -> str:
    (found,) = [value for value in reply.json.values() if isinstance(value, list)]
    return str(found[0]["id"])


def path_of(route: Route, ids: dict[str, str]) -> str:
    """Returns the path of a route with the ids of the rival's things."""
    before = route.path.partition("/{")[0]
    named = {"store": STORE, "item": ITEM, "tenant": "rival", "name": "x.webp"}
    return PLACEHOLDER.sub(lambda place: named.get(place[1]) or ids[before], route.path)


def made_up(text: str) -> str:
    """Returns an id of the same form that belongs to nothing."""
    if text.isdigit():
        return "9780306406157" if len(text) == 13 else "9" * len(text)
    return text[:-4] + ("0000" if text[-4:] != "0000" else "1111")


async def send(tenant: Tenant, route: Route, path: str, **headers: str) -> Reply:
    if route.upload:
        kind = route.upload[0]
        return await tenant.ask(route.method, path, b"store,item,count\nA,b,1\n", Content_Type=kind, **headers)
    body = route.example if route.body is not None else None
    return await tenant.ask(route.method, path, body, **headers)


def is_of_tenants(route: Route) -> bool:
    """Whether a route has things of tenants and needs credentials; images of covers are public."""
    return not route.access.public and not route.access.installation and not route.access.players


def is_stream(route: Route) -> bool:
    """Whether the answer of a route has no end."""
    return route.path.endswith("/events")


async def snapshot(rivals: Rivals) -> dict[str, Any]:
    """Returns what the rival sees, without what changes with time."""
    found: dict[str, Any] = {}
    for route in rivals.routes:
        if route.method == "GET" and is_of_tenants(route) and not is_stream(route):
            reply = await rivals.rival.ask("GET", path := path_of(route, rivals.ids))
            assert reply.status == 200, (path, reply.body)
            found[path] = reply.body
    del found["/api/v1/users/export"]
    return found


async def test_the_rival_has_something_behind_every_route(rivals: Rivals) -> None:
    shown = await snapshot(rivals)
    without = {path for path, body in shown.items() if MARK.encode() not in body}
    # These show numbers, or what their paths name.
    own = {"/api/v1/users/profile", "/api/v1/sessions", "/api/v1/users", "/api/v1/api-keys"}
    # What tenants have in these tables is asked in tests/unit/lake/test_sandbox.py.
    own.add("/api/v1/analytics/tables")
    assert without == {*own, f"/items/{STORE}/{ITEM}/movements"}


async def test_things_of_another_tenant_are_like_things_that_do_not_exist(rivals: Rivals) -> None:
    before = await snapshot(rivals)
    checked = 0
    for route in rivals.routes:
        if not is_of_tenants(route) or "{" not in route.path:
            continue
        path = path_of(route, rivals.ids)
        own = {segment for segment in path.split("/") if segment in {*rivals.ids.values(), STORE, ITEM}}
        unknown = path
        for segment in own:
            unknown = unknown.replace(segment, made_up(segment))
        replies = [await send(rivals.shop, route, one) for one in (path, unknown)]
        theirs, nothing = map(_comparable, replies)
        assert theirs == nothing, (route.method, path)
        if route.method != "PUT" or not route.path.startswith("/items/"):
            # A count can be set for any name, of the own tenant.
            assert replies[0].status in (200, 204, 404, 422), (route.method, path, replies[0].body)
        checked += 1
    assert checked >= 30
    assert await snapshot(rivals) == before


def _comparable(reply: Reply) -> tuple[int, str, str | None, int]:
    """Returns what a reply says apart from the names that it repeats, which are as long in both."""
    if reply.status < 400:
        return reply.status, "", None, 0
    return reply.status, reply.problem["error"], reply.problem.get("hint"), len(reply.body)


async def test_lists_of_one_tenant_have_nothing_of_the_other(rivals: Rivals) -> None:
    for route in rivals.routes:
        if route.method != "GET" or (not is_of_tenants(route) and not route.path.startswith("/api/v1/books")):
            continue
        reply = await rivals.shop.ask("GET", f"{path_of(route, rivals.ids)}?{words_of(route)}")
        assert reply.status in (200, 404), (route.path, reply.body)
        if reply.status == 200:
            assert MARK.encode() not in reply.body, route.path
            assert rivals.rival.member.user.encode() not in reply.body, route.path


async def test_cursors_of_one_tenant_lead_the_other_nowhere(rivals: Rivals) -> None:
    used = 0
    for route in rivals.routes:
        if route.method != "GET" or route.query is None or "cursor" not in route.query.__struct_fields__:
            continue
        if not is_of_tenants(route) and not route.path.startswith("/api/v1/books"):
            continue
        path = path_of(route, rivals.ids)
        limit = "page_size=1" if "page_size" in route.query.__struct_fields__ else "limit=1"
        limit += f"&{words_of(route)}"
        reply = await rivals.rival.ask("GET", f"{path}?{limit}")
        assert reply.status == 200, reply.body
        cursor = _find_cursor(reply)
        if cursor is None:
            continue
        used += 1
        again = await rivals.rival.ask("GET", f"{path}?{limit}&cursor={cursor}")
        assert again.status == 200, (path, again.body)
        foreign = await rivals.shop.ask("GET", f"{path}?{limit}&cursor={cursor}")
        assert foreign.status in (200, 404, 422), (path, foreign.body)
        assert foreign.status != 200 or MARK.encode() not in foreign.body, path
    assert used >= 8


def words_of(route: Route) -> str:
    """Returns what a search needs in its query."""
    return f"q={MARK}" if route.query is not None and "q" in route.query.__struct_fields__ else ""


def _find_cursor(reply: Reply) -> str | None:
    if "link" in reply.headers:
        return reply.headers["link"].partition("cursor=")[2].partition(">")[0]
    page = reply.json if isinstance(reply.json, dict) else {}
    inner = page.get("pagination") or page
    return inner.get("next_cursor") or inner.get("cursor")


async def test_entity_tags_of_one_tenant_tell_the_other_nothing(rivals: Rivals) -> None:
    used = 0
    for route in rivals.routes:
        if not is_of_tenants(route) and not route.path.startswith("/api/v1/books"):
            continue
        path = path_of(route, rivals.ids)
        if is_stream(route):
            continue
        if route.method == "GET" and "{" in route.path:
            etag = (await rivals.rival.ask("GET", path)).headers.get("etag")
            if etag is None:
                continue
            used += 1
            for sent in (etag, "*"):
                reply = await rivals.shop.ask("GET", path, If_None_Match=sent)
                assert reply.status == 404, (path, sent)
                assert "etag" not in reply.headers
        elif route.method in ("PUT", "PATCH", "DELETE") and "tasks" in route.path:
            for sent in ('"1"', "*", '"2"'):
                assert (await send(rivals.shop, route, path, If_Match=sent)).status == 404, (route.method, path, sent)
    assert used >= 4


async def test_events_are_of_the_installation_only(rivals: Rivals) -> None:
    for query in ("", "?topics=stock", "?topics=orders,stock", "?topics=scores&user_id=1", "?since=0"):
        for headers in ({}, {"Last_Event_ID": "0"}):
            reply = await rivals.shop.ask("GET", f"/api/v1/events{query}", **headers)
            assert reply.status == 403, query


async def test_stock_events_of_tenants_do_not_reach_the_installation(rivals: Rivals, suite: Suite) -> None:
    async with suite.persistence() as records:
        member = await add_member(records, "main", "viewer")
    http = InProcessHttp(suite.ports["main_server_port"])
    async with http.stream("?topics=stock", **member.token) as events:
        await rivals.rival.ask("PUT", f"/items/{STORE}/{ITEM}2", {"count": 1})
        await pass_time_until(lambda: _has_alert(rivals.rival, f"{ITEM}2"))
        async with suite.persistence() as records:
            operator = await add_member(records, "main", "operator")
        await http.ask("PUT", "/items/own/thing", {"count": 2}, headers=operator.token)
        event = await events.read()
        assert event is not None
        assert event["store"] == "own", event


async def _has_alert(tenant: Tenant, item: str) -> bool:
    return item in {one["item"] for one in (await tenant.ask("GET", "/alerts")).json["alerts"]}
