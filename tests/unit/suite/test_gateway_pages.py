"""The pages over HTTP, in this process: the apps below their prefixes, their files, and the start address."""

import html
import json
import re

import pytest

from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.unit.suite.test_gateway_books import add

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize("app", ["admin", "shop"])
async def test_every_address_below_a_prefix_is_its_app(http: InProcessHttp, app: str) -> None:
    index = await http.get(f"/{app}/")
    assert (index.status, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert index.headers["cache-control"] == "no-cache"
    assert "script-src 'self'" in index.headers["content-security-policy"]
    for path in ("book/01a2", "orders/list?q=x", "a/b/c/d", "%E0%A4%A", "..%2F..%2Fapi", "index.html"):
        assert (await http.get(f"/{app}/{path}")).body == index.body, path
    assert (await http.get(f"/{app}/", If_None_Match=index.headers["etag"])).status == 304
    head = await http.ask("HEAD", f"/{app}/x")
    assert (head.status, head.body) == (200, b"")
    assert (await http.post(f"/{app}/x")).status == 405
    moved = await http.get(f"/{app}?q=x")
    assert (moved.status, moved.headers["location"]) == (308, f"/{app}/?q=x")
    assert (await http.get(f"/{app}istration")).status == 404


@pytest.mark.parametrize("app", ["admin", "shop"])
async def test_files_of_a_page_are_there_and_are_kept_for_good(http: InProcessHttp, app: str) -> None:
    page = (await http.get(f"/{app}/")).body.decode()
    assert "{{" not in page
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    modules = [address for address in addresses if address.endswith(".js")]
    assert any(address.endswith("/lib/router.js") for address in modules), "modules are found by their imports"
    for address in addresses:
        answer = await http.get(address)
        assert answer.status == 200, address
        if address != "/static/icon.svg":
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", address
    plain = await http.get(re.sub(r"/static/\w{16}/", "/static/", modules[0]))
    assert (plain.status, plain.headers["cache-control"]) == (200, "no-cache")
    assert (await http.get(re.sub(r"/static/\w{16}/", f"/static/{'0' * 16}/", modules[0]))).status == 404


def target(answer: Reply) -> str:
    assert answer.status == 302
    assert answer.headers["vary"] == "accept, cookie"
    return answer.headers["location"]


async def test_the_start_address_leads_customers_to_the_shop_once_it_has_books(suite: Suite) -> None:
    await suite.start_intake()
    await suite.start_persistence()
    port = await suite.start_gateway()
    http, guest = InProcessHttp(port), InProcessHttp(port, peer="192.0.2.7")
    assert target(await guest.ask("GET", "/", headers=BROWSER)) == "/admin/"
    assert (await add(http)).status == 201
    assert target(await guest.ask("GET", "/", headers=BROWSER)) == "/shop/"
    # On this machine, in development, everybody is an operator.
    assert target(await http.ask("GET", "/", headers=BROWSER)) == "/admin/"
    assert (await guest.get("/")).json["message"].startswith("Comanda")


async def test_the_page_of_a_book_says_what_it_shows_without_its_scripts(http: InProcessHttp) -> None:
    title = 'A "</script>" & <b>'
    book = (await add(http, 7, title=title, author="Ana Paz, Eva Sol", price=8.5)).json["book_id"]
    answer = await http.get(f"/shop/book/{book}")
    page = answer.body.decode()
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
    assert f"<title>{html.escape(title)} · Comanda</title>" in page
    (data,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page)
    told = json.loads(data)
    assert (told["@type"], told["name"], told["offers"]["price"]) == ("Book", title, 8.5)
    assert [author["name"] for author in told["author"]] == ["Ana Paz", "Eva Sol"]
    gone = await http.get("/shop/book/nothing")
    assert (gone.status, gone.body) == (404, (await http.get("/shop/")).body)
    # Without a tenant nobody knows the book; the page itself says the tenant.
    other = await http.get(f"/shop/book/{book}", X_Tenant_Id="nobody")
    assert (other.status, other.body) == (200, gone.body)
