"""Names in the dashboard: those that are as long as they may be, those that mean something to a script, and ids."""

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import Suite, Visitor

STORE = "x" * 100
ITEM = "y" * 200
CUSTOMER = "z" * 200
TITLE = "t" * 200
SHEET = f"store,item,count\n{STORE},{ITEM},1\n".encode()

# What is to be seen and reaches beyond its window or its box, unless that may be scrolled.
SPILT = """() => {
  const scrolls = (one) => /auto|scroll/.test(getComputedStyle(one).overflowX);
  const mayScroll = (one) => one && (scrolls(one) || mayScroll(one.parentElement));
  const spilt = [];
  for (const one of document.querySelectorAll("main *, dialog *")) {
    if (one.closest(".unseen, .uplot") || mayScroll(one)) continue;
    const { width, right } = one.getBoundingClientRect();
    const box = one.matches(".card, .stores a, .panel, .tile, .lane, li, h2, td, th");
    const beyond = box && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX === "visible";
    if (width && (right > innerWidth + 1 || beyond)) spilt.push(one.outerHTML.slice(0, 120));
  }
  const tables = innerWidth < 600 ? [...document.querySelectorAll(".scroll")] : [];
  const wide = tables.filter((one) => one.scrollWidth > one.clientWidth + 1);
  return [...spilt, ...wide.map((one) => `scrolls: ${one.textContent.slice(0, 80)}`)];
}"""


@pytest.fixture(scope="module", autouse=True)
def _long_names(suite: Suite) -> None:
    http = suite.http
    sent = http.ask("POST", f"/items/upload?again=true&name={TITLE}", SHEET, headers={"Content-Type": "text/csv"})
    assert sent.status == 201
    order = {"cliente": CUSTOMER, "productos": [ITEM], "direccion": CUSTOMER}
    assert http.post("/api/v1/orders", order).status == 201
    assert http.post("/tasks", {"title": TITLE, "description": TITLE}).status == 201


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_stay_where_they_belong(visitor: Visitor, width: int) -> None:
    visit = visitor(width=width)
    for place, shown in {
        "": f".card:has-text('{CUSTOMER}')",
        "orders/list": f"tr:has-text('{CUSTOMER}')",
        "inventory": f".stores a:has-text('{STORE}')",
        f"inventory/stock/{STORE}": f"tr:has-text('{ITEM}')",
        f"inventory/stock/{'s' * 600}": f"h2:has-text('{'s' * 600}')",
        "inventory/alerts": f".lines li:has-text('{ITEM}')",
        "inventory/import": f"tr:has-text('{TITLE}')",
        "tasks": f".lines li:has-text('{TITLE}')",
        "notifications": "main .panel",
    }.items():
        page = visit.go(place)
        page.wait_for_selector(shown)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        assert page.evaluate(SPILT) == [], place
    visit.go("inventory/import")
    bad = b"%s,%s,-1\n" % (STORE.encode(), ITEM.encode())
    sheet: FilePayload = {"name": f"{TITLE[:180]}.csv", "mimeType": "text/csv", "buffer": SHEET + bad}
    page.set_input_files("input[type=file]", sheet)
    page.wait_for_selector(".report table")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SPILT) == []
    visit.go(f"inventory/stock/{STORE}")
    page.get_by_role("button", name="Movements of").first.click()
    page.wait_for_selector(".movements li")
    assert page.evaluate(SPILT) == []


@pytest.mark.parametrize("place", ["inventory/__proto__", "inventory/toString", "orders/constructor"])
def test_a_part_that_does_not_exist_is_the_first_one(visitor: Visitor, place: str) -> None:
    page = visitor().go(place)
    page.wait_for_selector("main .panel, main .tiles")
    expect(page.locator("[role=alert]")).to_have_count(0)


@pytest.mark.parametrize("place", ["nowhere", "__proto__", "tasks/1"])
def test_an_address_without_a_page_says_so(visitor: Visitor, place: str) -> None:
    page = visitor().go(place)
    expect(page.get_by_role("heading", name="There is no page here")).to_be_visible()
    page.get_by_role("link", name="Go to the start page").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def stock_many(suite: Suite, first: int, last: int) -> str:
    """One item in each of many stores; gives the id of the import."""
    rows = "".join(f"Kiosk {number:04}é;pan;1\n" for number in range(first, last))
    sent = suite.http.ask(
        "POST", "/items/upload", f"store;item;count\n{rows}".encode(), headers={"Content-Type": "text/csv"}
    )
    assert sent.status == 201
    return str(sent.json["id"])


def stores_of(page: Page) -> int:
    return page.locator(".stores a").count() - 1


def test_many_stores_are_counted_and_found(suite: Suite, visitor: Visitor) -> None:
    before = len(suite.http.get("/stores?limit=1000").json["stores"])
    some = stock_many(suite, 0, 300)
    visit = visitor()
    page = visit.go("inventory")
    whole = page.locator(".stores a").first
    expect(whole).to_contain_text(f"stores: {before + 300}")
    expect(page.get_by_role("link", name="Alerts")).to_contain_text("200+")
    assert stores_of(page) < 30
    page.get_by_label("Find a store").fill("KIOSK 0299E")
    expect(page.get_by_text(f"Shown: 1 of {before + 300}")).to_be_visible()
    page.get_by_role("link", name="Kiosk 0299é").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Find a store").fill("nobody")
    expect(page.get_by_text("No store with this name")).to_be_visible()
    # The one that is looked at stays.
    expect(page.locator(".stores [aria-current]")).to_contain_text("Kiosk 0299é")
    page.get_by_label("Find a store").fill("kiosk")
    page.get_by_role("button", name="Show all").click()
    assert stores_of(page) == 300

    others = stock_many(suite, 300, 1010)
    visit.go("inventory")
    expect(whole).to_contain_text("stores: 1,000+")
    expect(page.get_by_text("Only the first 1,000 stores are shown")).to_be_visible()
    for one in (others, some):
        assert suite.http.post(f"/imports/{one}/undo").status in (200, 202)
    expect(whole).to_contain_text(f"stores: {before}")


@pytest.mark.parametrize("place", ["orders/list", "orders/failed"])
def test_an_orders_id_is_shown_whole_and_copied(suite: Suite, visitor: Visitor, place: str) -> None:
    order = suite.http.post("/api/v1/orders", {"cliente": "rejected", "productos": ["pan"], "direccion": "id"})
    order_id = str(order.json["id"])
    visit = visitor()
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.go(place)
    page.evaluate("navigator.clipboard.writeText('')")
    expect(page.get_by_text(order_id, exact=True)).to_be_visible()
    page.get_by_role("button", name=f"Copy ID {order_id}").click()
    expect(page.get_by_text("ID copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == order_id
