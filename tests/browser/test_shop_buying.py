"""Buying in the shop: cart, checkout and purchases, and what may happen on the way."""

import re
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Suite, Visit, Visitor, add_book
from tests.browser.test_pages import barriers

PASSWORD = "siete gatos verdes"
PURCHASES = "/api/v1/purchases"
ADDRESS = {"name": "Ana Paz", "street": "Mayor 1", "postal_code": "28013", "city": "Madrid", "country": "España"}
_CUSTOMERS = count(1)


class Customer:
    """A customer in a browser."""

    def __init__(self, visit: Visit, shop: Suite) -> None:
        self.visit = visit
        self.page = visit.page
        self._shop = shop
        self.email = f"customer{next(_CUSTOMERS)}@x.es"
        person = {"email": self.email, "password": PASSWORD, "first_name": "Ana", "last_name": "Paz"}
        assert shop.http.post("/api/v1/users/register", person).status == 200

    def sign_in(self) -> None:
        """Signs in; the cart of the guest becomes the customer's."""
        body = {"email": self.email, "password": PASSWORD, "cookie": True}
        assert self.page.request.post(f"{self.visit.origin}/api/v1/users/login", data=body).ok

    def sign_in_on_the_page(self) -> None:
        """Signs in on the page to which the shop has led."""
        self.page.wait_for_url("**/shop/login")
        self.page.locator("[name=username]").fill(self.email)
        self.page.locator("[name=password]").fill(PASSWORD)
        self.page.keyboard.press("Enter")

    def ask(self, path: str) -> Any:
        """Returns the answer to a request in this session."""
        return self.page.request.get(self.visit.origin + path).json()

    def add(self, book: str, quantity: int = 1) -> None:
        """Puts copies of a book into the cart."""
        body = {"book_id": book, "quantity": quantity}
        assert self.page.request.post(f"{self.visit.origin}/api/v1/cart/add", data=body).ok

    def go_to_checkout(self) -> Page:
        """Opens the checkout, and fills in the address."""
        page = self.visit.go("checkout")
        fill_address(page)
        return page

    def count_purchases(self) -> int:
        return int(self.ask(PURCHASES)["pagination"]["total_items"])


def fill_address(page: Page) -> None:
    for name, value in ADDRESS.items():
        page.locator(f"[name={name}]").fill(value)


def buy_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^(Buy for|Comprar por) "))


@pytest.fixture
def customer(visitor: Visitor, shop: Suite) -> Customer:
    """A customer who is signed in, at a wide screen."""
    customer = Customer(visitor(gateway=shop.gateway, app="shop"), shop)
    customer.sign_in()
    return customer


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("es", "dark", 390)])
def test_the_way_from_a_search_to_a_completed_purchase(
    visitor: Visitor, shop: Suite, language: str, theme: str, width: int
) -> None:
    visit = visitor(gateway=shop.gateway, app="shop", language=language, theme=theme, width=width)
    customer, page = Customer(visit, shop), visit.page
    spanish = language == "es"

    def check_page() -> None:
        expect(page.locator(".waiting, .blank-cover")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
        assert barriers(page) == {}, page.url

    visit.go("search?q=goblet")
    page.locator(".book-card-link").first.click()
    add = page.get_by_role("button", name="Añadir al carrito" if spanish else "Add to cart")
    add.click()
    see = page.get_by_role("button", name="Ver carrito" if spanish else "See cart")
    expect(see).to_be_visible()
    expect(add).to_be_focused()
    see.click()
    expect(page.locator(".cart-line")).to_have_count(1)
    expect(page.locator("h1")).to_be_focused()
    check_page()
    page.get_by_role("button", name="Finalizar la compra" if spanish else "Go to checkout").click()
    # A guest signs in on the way, and keeps the cart.
    customer.sign_in_on_the_page()
    expect(buy_button(page)).to_be_visible()
    check_page()
    buy_button(page).click()
    name = page.get_by_label("Nombre y apellidos" if spanish else "Full name")
    expect(name).to_be_focused()
    expect(page.locator("[aria-invalid]")).to_have_count(len(ADDRESS))
    check_page()
    fill_address(page)
    page.get_by_label("Contra reembolso" if spanish else "Cash on delivery").check()
    buy_button(page).click()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="¡Gracias!" if spanish else "Thank you!")).to_be_visible()
    expect(page.locator(".receipt")).to_contain_text("28013 Madrid")
    check_page()
    page.emulate_media(media="print")
    expect(page.locator(".receipt")).to_be_visible()
    expect(page.locator(".masthead, .purchase-state")).to_have_count(2)
    assert [one.is_visible() for one in page.locator(".masthead, .purchase-state").all()] == [False, False]
    page.emulate_media(media="screen")
    # Back leads to the cart, and not to a checkout that is done.
    page.go_back()
    expect(page.get_by_text("Tu carrito está vacío" if spanish else "Your cart is empty")).to_be_visible()
    visit.go("purchases")
    expect(page.locator(".purchase-row")).to_have_count(1)
    check_page()
    page.get_by_role("link", name="Canceladas" if spanish else "Cancelled").click()
    expect(
        page.get_by_text("No hay compras en este estado" if spanish else "No purchases in this state")
    ).to_be_visible()
    assert page.url.endswith("?status=cancelled")
    visit.go("purchases/nothing")
    expect(page.locator("h1")).to_have_text("Esa compra no existe" if spanish else "There is no such purchase")


def test_a_double_click_buys_once_and_another_tab_says_so(customer: Customer, shop: Suite) -> None:
    customer.add(add_book(shop.http, "La tregua", author="Mario Benedetti"))
    page = customer.go_to_checkout()
    other = page.context.new_page()
    other.goto(page.url)
    expect(buy_button(other)).to_be_visible()
    buy_button(page).dblclick()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()
    expect(other.get_by_text("If you have just bought it")).to_be_visible()
    assert customer.count_purchases() == 1
    # The address of the last purchase is offered.
    customer.add(add_book(shop.http, "Gracias por el fuego", author="Mario Benedetti"))
    customer.visit.go("checkout")
    expect(page.get_by_label("The address of your last purchase")).to_be_checked()
    buy_button(page).click()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()


@pytest.mark.parametrize("reaches", [True, False])
def test_a_lost_answer_buys_once(customer: Customer, shop: Suite, reaches: bool) -> None:
    customer.add(add_book(shop.http, "Pedro Páramo", author="Juan Rulfo"))
    page = customer.go_to_checkout()
    keys = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if reaches:
            route.fetch()
        route.abort()

    page.route(f"**{PURCHASES}/checkout", lose, times=1)
    page.on(
        "request", lambda one: keys.append(one.headers.get("idempotency-key", "")) if one.method == "POST" else None
    )
    buy_button(page).click()
    if not reaches:
        expect(page.get_by_role("alert")).to_contain_text("No answer from the shop")
        # What was entered is there after a reload, and so is the key.
        page.reload()
        expect(page.get_by_label("Full name")).to_have_value("Ana Paz")
        buy_button(page).click()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()
    assert customer.count_purchases() == 1
    assert len(set(keys)) == 1
    assert len(keys) >= 2


def test_a_higher_price_is_told_before_it_is_paid(customer: Customer, shop: Suite) -> None:
    book = add_book(shop.http, "Los detectives salvajes", author="Roberto Bolaño", price=12.9)
    customer.add(book, 2)
    page = customer.go_to_checkout()
    assert shop.http.ask("PUT", f"/api/v1/books/{book}", {"price": 13.9}).status == 200
    buy_button(page).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The price has gone up")
    expect(alert).to_contain_text(re.compile(r"25\.80.*27\.80"))
    expect(alert).to_be_focused()
    expect(page.get_by_text("Up: it was $12.90 when you added it")).to_be_visible()
    assert barriers(page) == {}
    assert customer.count_purchases() == 0
    expect(buy_button(page)).to_contain_text("27.80")
    buy_button(page).click()
    expect(page.locator(".receipt")).to_contain_text("27.80")


def test_what_is_sold_out_meanwhile_is_named_with_a_way_on(customer: Customer, shop: Suite) -> None:
    few = add_book(shop.http, "El túnel", author="Ernesto Sabato", stock_quantity=5)
    none = add_book(shop.http, "Sobre héroes y tumbas", author="Ernesto Sabato", stock_quantity=5)
    customer.add(few, 3)
    customer.add(none)
    page = customer.go_to_checkout()
    for book, left in ((few, 1), (none, 0)):
        assert shop.http.ask("PUT", f"/api/v1/books/{book}", {"stock_quantity": left}).status == 200
    buy_button(page).click()
    expect(page.get_by_role("alert")).to_contain_text("Not everything can be bought any more")
    expect(page.locator(f"[data-book='{none}']")).to_contain_text("Sold out")
    expect(buy_button(page)).to_be_disabled()
    assert barriers(page) == {}
    page.get_by_role("button", name="Take the last one").click()
    page.locator(f"[data-book='{none}']").get_by_role("button", name="Save for later").click()
    expect(page.locator(".review-line")).to_have_count(1)
    buy_button(page).click()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()
    assert [one["title"] for one in customer.ask("/api/v1/users/wishlist")["data"]] == ["Sobre héroes y tumbas"]


def test_nothing_is_lost_when_the_session_ends_in_the_middle(customer: Customer, shop: Suite) -> None:
    customer.add(add_book(shop.http, "La ciudad y los perros", author="Mario Vargas Llosa"))
    page = customer.go_to_checkout()
    (cookie,) = [one for one in page.context.cookies() if one["name"] == "comanda_session"]
    session = {"Cookie": f"comanda_session={cookie['value']}"}
    assert shop.http.ask("POST", "/api/v1/users/logout", headers=session).status == 200
    buy_button(page).click()
    customer.sign_in_on_the_page()
    expect(page.get_by_label("Street and number")).to_have_value("Mayor 1")
    buy_button(page).click()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()
    assert customer.count_purchases() == 1


def test_a_cart_is_changed_line_by_line(customer: Customer, shop: Suite) -> None:
    first = add_book(shop.http, "Hopscotch", author="Julio Cortázar", price=10, stock_quantity=3)
    second = add_book(shop.http, "Blow-Up", author="Julio Cortázar", price=5)
    customer.add(first)
    customer.add(second)
    page = customer.visit.go("cart")
    line = page.locator(f"[data-book='{first}']")
    for _ in range(2):
        line.get_by_role("button", name="One copy more").click()
    expect(line.get_by_role("button", name="One copy more")).to_be_disabled()
    total = page.locator(".amounts-total dd")
    expect(total).to_have_text("$35.00")
    expect(page.get_by_role("link", name="Cart, 4 books")).to_be_visible()
    # Another tab shows the same cart.
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator(".amounts-total dd")).to_have_text("$35.00")
    line.get_by_role("button", name="Remove: Hopscotch").click()
    expect(page.locator(".cart-line")).to_have_count(1)
    expect(page.get_by_role("link", name="Blow-Up")).to_be_focused()
    expect(other.locator(".cart-line")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(total).to_have_text("$35.00")
    # What cannot be bought keeps from the checkout, which leads to it.
    assert shop.http.ask("PUT", f"/api/v1/books/{second}", {"stock_quantity": 0}).status == 200
    page.reload()
    page.get_by_role("button", name="Go to checkout").click()
    expect(page.get_by_role("alert")).to_contain_text("One book cannot be bought as it is")
    page.locator(f"[data-book='{second}']").get_by_role("button", name="Save for later").click()
    expect(page.locator(".cart-line")).to_have_count(1)
    page.get_by_role("button", name="Go to checkout").click()
    expect(buy_button(page)).to_contain_text("$30.00")


def test_a_failed_purchase_says_why_and_is_bought_again(customer: Customer, shop: Suite) -> None:
    customer.add(add_book(shop.http, "Las armas secretas", author="Julio Cortázar"), 2)
    body = {"payment_method": "simulated-declined", "shipping_address": ADDRESS}
    purchase = customer.page.request.post(f"{customer.visit.origin}{PURCHASES}/checkout", data=body).json()
    page = customer.visit.go(f"purchases/{purchase['purchase_id']}")
    expect(page.locator("[data-step=cancelled]")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="The payment was declined")).to_be_visible()
    assert barriers(page) == {}
    page.get_by_role("button", name="Buy again").click()
    expect(page.locator(".cart-line")).to_contain_text("Las armas secretas")
    expect(page.get_by_role("link", name="Cart, 2 books")).to_be_visible()


def test_a_purchase_that_was_completed_meanwhile_is_not_cancelled(customer: Customer, shop: Suite) -> None:
    customer.add(add_book(shop.http, "Bestiario", author="Julio Cortázar"))
    page = customer.go_to_checkout()
    buy_button(page).click()
    expect(page.locator("[data-step=completed].taken")).to_be_visible()

    def show_as_pending(route: Route) -> None:
        shown = route.fetch().json()
        route.fulfill(json={**shown, "status": "pending", "steps": shown["steps"][:1]})

    # A page that has not heard of it: no events, and an old answer.
    page.route(f"**{PURCHASES}/*/events*", lambda route: route.abort())
    page.route(re.compile(f"{PURCHASES}/[^/?]+$"), show_as_pending, times=1)
    page.reload()
    page.get_by_role("button", name="Cancel the purchase").click()
    assert barriers(page) == {}
    page.get_by_role("dialog").get_by_role("button", name="Cancel the purchase").click()
    expect(page.get_by_text("A completed purchase cannot be cancelled")).to_be_visible()
    expect(page.get_by_text("Your purchase is complete")).to_be_visible()
