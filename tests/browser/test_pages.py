"""Every page of the dashboard: it comes, from here alone, in both languages and themes, for everybody."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Suite, Visitor

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text()
PAGES = {
    "": ("Overview", "Resumen"),
    "orders": ("Orders", "Pedidos"),
    "orders/list": ("Orders", "Pedidos"),
    "orders/failed": ("Orders", "Pedidos"),
    "inventory": ("Inventory", "Inventario"),
    "inventory/import": ("Inventory", "Inventario"),
    "inventory/alerts": ("Inventory", "Inventario"),
    "tasks": ("Tasks", "Tareas"),
    "notifications": ("Inbox", "Avisos"),
    "ranking": ("Ranking", "Ranking"),
    "account": ("Account", "Cuenta"),
}


@pytest.fixture(scope="module", autouse=True)
def _something_to_see(suite: Suite) -> None:
    http = suite.http
    for customer in ("Ana", "rejected"):
        assert http.post("/api/v1/orders", {"cliente": customer, "productos": ["pan"], "direccion": "x"}).status == 201
    sheet = b"store,item,count\nBerlin,pan,2\nBerlin,agua,40\nRoma,pan,9\n"
    http.ask("POST", "/items/upload?name=start.csv", sheet, headers={"Content-Type": "text/csv"})
    http.post("/tasks", {"title": "Buy bread", "description": "wholemeal"})
    http.post("/api/guardar_puntaje", {"user_id": 1, "puntaje": 100})


def barriers(page: Page) -> dict[str, list[str]]:
    """What keeps somebody out of a page as it is now, and where."""
    # What is evaluated is not held to the page's policy.
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
    return {
        one["id"]: [node["html"] for node in one["nodes"]]
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_kept_out_of_a_page(visitor: Visitor, theme: str) -> None:
    visit = visitor(theme=theme)
    for place in PAGES:
        page = visit.go(place)
        page.wait_for_selector("main .panel, main .tiles")
        assert barriers(page) == {}, place


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_kept_out_in_the_middle_of_something(visitor: Visitor, theme: str) -> None:
    visit = visitor(theme=theme, width=390)
    page = visit.go("inventory/import")
    sheet = b"store,item,count\nBerlin,pan,4\nBerlin,agua,-1\n"
    page.set_input_files("input[type=file]", {"name": "s.csv", "mimeType": "text/csv", "buffer": sheet})
    page.wait_for_selector(".report table")
    assert barriers(page) == {}
    page.get_by_role("button", name="Settings").click()
    assert barriers(page) == {}
    page.keyboard.press("Escape")
    visit.go("inventory/stock/Berlin")
    page.get_by_role("button", name="Correct the count of pan").click()
    assert barriers(page) == {}
    page.get_by_role("button", name="Movements of pan").click()
    page.wait_for_selector(".movements")
    assert barriers(page) == {}
    page.keyboard.press("Escape")
    visit.go("orders/failed")
    page.get_by_role("button", name="Edit and replay").first.click()
    page.wait_for_selector("dialog")
    assert barriers(page) == {}
    page.keyboard.press("Escape")
    visit.go("orders")
    page.get_by_role("button", name="Place order").click()
    page.wait_for_selector(".error")
    assert barriers(page) == {}


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_page_comes_in_the_browsers_language(visitor: Visitor, language: str) -> None:
    visit = visitor(language=language)
    for place, titles in PAGES.items():
        page = visit.go(place)
        expect(page.locator("h1")).to_have_text(titles[language == "es"])
        assert page.get_attribute("html", "lang") == language


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(visitor: Visitor, width: int) -> None:
    visit = visitor(width=width, language="es")
    for place in PAGES:
        page = visit.go(place)
        page.wait_for_selector("main .panel, main .tiles")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        for tab in page.locator(".tabs [aria-current]").all():
            expect(tab).to_be_in_viewport(ratio=0.9)


def test_language_and_theme_are_chosen_and_remembered(visitor: Visitor) -> None:
    page = visitor().go()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Settings").click()
    page.get_by_text("Dark", exact=True).click()
    page.get_by_text("Español", exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    for _ in range(2):
        # The texts of a language are loaded when it is chosen.
        expect(page.locator("h1")).to_have_text("Resumen")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        page.reload()


def test_a_first_visit_is_small(visitor: Visitor) -> None:
    visit = visitor()
    session = visit.page.context.new_cdp_session(visit.page)
    session.send("Network.enable")
    sizes: list[int] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page = visit.go()
    page.wait_for_selector(".uplot canvas")
    assert sum(sizes) < 200_000
    unforeseen = page.evaluate(
        """() => {
          const told = [...document.querySelectorAll("link, script")].map((one) => one.href || one.src);
          const modules = performance.getEntriesByType("resource").filter((one) => one.name.endsWith(".js"));
          return modules.map((one) => one.name).filter((name) => !told.includes(name) && !name.includes("uPlot"));
        }"""
    )
    # What the page needs at once is asked for at once, not one after the other.
    assert unforeseen == []


def test_an_address_of_a_former_version_leads_to_its_page(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.page
    page.goto(f"{visit.origin}/#/orders/list/listo")
    page.wait_for_selector('main[data-place="orders/list/listo"] h1')
    assert page.url == f"{visit.address}orders/list/listo"
    page.goto(f"{visit.origin}/#/password?token=pr.main.x")
    page.wait_for_selector('main[data-place="password"] h1')
    # The secret has left the address.
    assert page.url == f"{visit.address}password"
    page.get_by_label("New password").wait_for()
