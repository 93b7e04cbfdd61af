"""The shop's first page, search and book pages: they come for everybody, and lead from a word to the cart."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Suite, Visit, Visitor, add_book
from tests.browser.test_pages import barriers

SEARCH_OF_BOOKS = "search?q=relato"
KILOBYTES = 60
"""Compressed content of a first view; headers add a fifth."""
LAYOUT_SHIFT = 0.05


def visit_shop(visitor: Visitor, shop: Suite, **options: Any) -> Visit:
    return visitor(gateway=shop.gateway, app="shop", **options)


def find_book(shop: Suite, text: str) -> str:
    return str(shop.http.get(f"/api/v1/books/search?q={text}&fuzzy=false").json["data"][0]["book_id"])


def wait_for_books(page: Page) -> None:
    """Waits until nothing on a page is a mere place of what is to come."""
    expect(page.locator(".blank-cover")).to_have_count(0)
    expect(page.locator("[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("es", "dark", 360)])
def test_every_page_comes_for_everybody(visitor: Visitor, shop: Suite, language: str, theme: str, width: int) -> None:
    visit = visit_shop(visitor, shop, language=language, theme=theme, width=width)
    titles = {
        "": ("What will you read next?", "¿Qué vas a leer ahora?"),
        SEARCH_OF_BOOKS: ("“relato”", "«relato»"),
        f"book/{find_book(shop, 'goblet')}": ("Harry Potter and the Goblet of Fire",) * 2,
        "book/nothing": ("This book is no longer in the shop", "Este libro ya no está en la tienda"),
        "no/where": ("There is no page here", "Aquí no hay ninguna página"),
    }
    for place, title in titles.items():
        page = visit.go(place)
        wait_for_books(page)
        expect(page.locator("h1")).to_contain_text(title[language == "es"])
        assert page.get_attribute("html", "lang") == language
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        assert barriers(page) == {}, place


def test_suggestions_are_reached_with_the_keyboard(visitor: Visitor, shop: Suite) -> None:
    page = visit_shop(visitor, shop).go()
    box = page.get_by_role("combobox", name="Search books")
    box.fill("cham")
    option = page.get_by_role("option", name=re.compile("Chamber of Secrets"))
    expect(option).to_be_visible()
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == option.get_attribute("id")
    assert barriers(page) == {}
    page.keyboard.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    box.fill("chamb")
    expect(option).to_be_visible()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Harry Potter and the Chamber of Secrets")).to_be_focused()
    box.fill("relato 07")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("“relato 07”")
    expect(page.locator(".book-grid li")).to_have_count(1)


def test_a_search_is_in_the_address_and_back_undoes_a_filter(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop)
    page = visit.go(SEARCH_OF_BOOKS)
    results = page.get_by_role("status").first
    expect(results).to_contain_text("27 books")
    expect(page.locator(".book-grid li")).to_have_count(24)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".book-grid li")).to_have_count(3)
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    page.get_by_role("checkbox", name=re.compile("Autor 1")).check()
    # Another filter begins with the first page.
    expect(results).to_contain_text("6 books")
    assert page.url.endswith("/shop/search?q=relato&author=Autor+1")
    page.get_by_label("Sort by").select_option("title")
    expect(page.locator(".book-grid li").first).to_contain_text("Relato 01")
    page.reload()
    expect(results).to_contain_text("6 books")
    expect(page.get_by_role("checkbox", name=re.compile("Autor 1"))).to_be_checked()
    page.go_back()
    expect(page.get_by_label("Sort by")).to_have_value("relevance")
    page.get_by_role("button", name="Clear filters").click()
    expect(results).to_contain_text("27 books")


def test_a_misspelt_word_is_told_and_nothing_found_leads_on(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop)
    page = visit.go("search?q=hary poter")
    expect(page.get_by_text("Few books have exactly “hary poter”")).to_be_visible()
    expect(page.locator(".book-grid li")).to_have_count(3)
    visit.go("search?q=potter&category=Novela")
    expect(page.get_by_text("No book fits all these filters.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").last.click()
    expect(page.locator(".book-grid li")).to_have_count(3)
    # What is not a number is refused by the server, and the way out is offered.
    visit.go("search?min=x")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Clear filters").last.click()
    expect(page.locator(".book-grid li")).to_have_count(24)


def test_a_book_goes_into_the_cart_as_often_as_there_are_copies(visitor: Visitor, shop: Suite) -> None:
    book = add_book(shop.http, "Rayuela", author="Julio Cortázar", stock_quantity=2)
    visit = visit_shop(visitor, shop, width=390)
    page = visit.go(f"book/{book}")
    expect(page.get_by_text("Only 2 left")).to_be_visible()
    copies = page.get_by_role("spinbutton", name="Copies")
    copies.fill("9")
    copies.press("Tab")
    expect(copies).to_have_value("2")
    expect(page.get_by_role("button", name="One copy more")).to_be_disabled()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("status").filter(has_text="In your cart: Rayuela")).to_be_visible()
    expect(page.get_by_role("link", name="Cart, 2 books")).to_be_visible()
    expect(page.get_by_role("button", name="Add to cart")).to_be_disabled()
    assert barriers(page) == {}
    # Another tab of the same visitor shows the same cart.
    other = page.context.new_page()
    other.goto(visit.address)
    expect(other.get_by_role("link", name="Cart, 2 books")).to_be_visible()
    expect(other.get_by_role("region", name="You looked at these")).to_contain_text("Rayuela")


def test_stock_is_followed_and_a_deleted_book_says_so(visitor: Visitor, shop: Suite) -> None:
    book = add_book(shop.http, "Ficciones", author="Jorge Luis Borges")
    visit = visit_shop(visitor, shop)
    visit.page.clock.install()
    page = visit.go(f"book/{book}")
    expect(page.get_by_text("In stock")).to_be_visible()
    assert shop.http.ask("PUT", f"/api/v1/books/{book}", {"stock_quantity": 0}).status == 200
    page.clock.run_for(11_000)
    expect(page.get_by_text("Sold out")).to_be_visible()
    expect(page.get_by_role("button", name="Add to cart")).to_have_count(0)
    assert shop.http.ask("DELETE", f"/api/v1/books/{book}").status == 200
    page.clock.run_for(11_000)
    expect(page.get_by_role("heading", name="This book is no longer in the shop")).to_be_attached()


def test_a_customer_marks_books_and_a_guest_is_led_to_the_sign_in(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop)
    book = find_book(shop, "goblet")
    page = visit.go(f"book/{book}")
    page.get_by_role("button", name="Favourite").click()
    page.wait_for_url("**/shop/login")
    customer = {
        "email": "lectora@x.es",
        "password": "siete gatos verdes",
        "first_name": "Ana",
        "last_name": "Paz",
        "tenant_id": "main",
        "cookie": True,
    }
    assert page.request.post(f"{visit.origin}/api/v1/users/register", data=customer).ok
    page = visit.go(f"book/{book}")
    heart = page.get_by_role("button", name="Favourite")
    heart.click()
    expect(page.get_by_role("button", name="In your favourites")).to_have_attribute("aria-pressed", "true")
    page.locator(".book-lists summary").click()
    assert barriers(page) == {}
    page.get_by_role("button", name="2 · Very much").click()
    expect(page.get_by_text("Wish, priority 2")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="In your favourites")).to_be_visible()
    expect(page.get_by_text("Wish, priority 2")).to_be_visible()
    visit.go()
    expect(page.get_by_role("region", name="Recommended for you")).to_contain_text("Harry Potter")


def test_a_book_page_describes_itself_to_machines(visitor: Visitor, shop: Suite) -> None:
    title = "Ein Buch </script><script>alert(1)</script>"
    book = add_book(shop.http, title, price=8.5)
    page = visit_shop(visitor, shop).go(f"book/{book}")
    expect(page).to_have_title(f"{title} · Comanda")
    found = json.loads(page.locator("script[type='application/ld+json']").inner_text())
    assert (found["@type"], found["name"], found["offers"]["price"]) == ("Book", title, 8.5)
    assert page.context.request.get(f"{page.url}x").status == 404


def test_back_returns_to_the_same_place(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop, width=390)
    page = visit.go(SEARCH_OF_BOOKS)
    link = page.locator(".book-grid a").nth(15)
    link.scroll_into_view_if_needed()
    height = page.evaluate("scrollY")
    assert height > 500
    link.click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.wait_for_function(f"Math.abs(scrollY - {height}) < 2")


def test_a_first_view_is_small_and_stands_still(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop, width=390)
    visit.page.add_init_script(
        """new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.shift = (window.shift ?? 0) + entry.value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    page = visit.go()
    wait_for_books(page)
    sizes = page.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
          .map((one) => one.encodedBodySize)"""
    )
    assert sum(sizes) < KILOBYTES * 1000
    assert (page.evaluate("window.shift") or 0) < LAYOUT_SHIFT
    visit.go(f"book/{find_book(shop, 'goblet')}")
    wait_for_books(page)
    assert (page.evaluate("window.shift") or 0) < LAYOUT_SHIFT
