"""The shop's pages of a customer: sign-in, registration, account, lists and notices."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Suite, Visit, Visitor, add_book
from tests.browser.test_pages import barriers
from tests.support.waiting import until

PASSWORD = "siete gatos verdes"
ENTRIES = {
    "login": ("Sign in", "Iniciar sesión"),
    "register": ("Create an account", "Crear una cuenta"),
    "password": ("Reset your password", "Restablecer tu contraseña"),
}
PAGES = {
    "account": ("Your account", "Tu cuenta"),
    "favourites": ("Favourites", "Favoritos"),
    "wishlist": ("Wishlist", "Lista de deseos"),
    "notices": ("Notices", "Avisos"),
}
LOGIN = "/api/v1/users/login"


def visit_shop(visitor: Visitor, shop: Suite, **options: Any) -> Visit:
    return visitor(gateway=shop.gateway, app="shop", **options)


def register(visit: Visit, email: str) -> None:
    """Gives the visitor an account and a session."""
    data = {"email": email, "password": PASSWORD, "first_name": "Ana", "last_name": "Paz", "tenant_id": "main"}
    assert visit.page.request.post(f"{visit.origin}/api/v1/users/register", data={**data, "cookie": True}).ok


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("es", "dark", 360)])
def test_every_page_of_a_customer_comes_for_everybody(
    visitor: Visitor, shop: Suite, language: str, theme: str, width: int
) -> None:
    visit = visit_shop(visitor, shop, language=language, theme=theme, width=width)

    def look(pages: dict[str, tuple[str, str]]) -> None:
        for place, titles in pages.items():
            page = visit.go(place)
            expect(page.locator("h1")).to_have_text(titles[language == "es"])
            assert page.evaluate("document.documentElement.scrollWidth") <= width, place
            assert barriers(page) == {}, place

    look(ENTRIES)
    register(visit, f"{language}@x.es")
    # First with nothing to show, then with a book in each list.
    look(PAGES)
    book = add_book(shop.http, f"Un libro {'l' * 60}argo")
    for name in ("favorites", "wishlist"):
        assert visit.page.request.post(f"{visit.origin}/api/v1/users/{name}/{book}").ok
    look({place: PAGES[place] for place in ("favourites", "wishlist")})


def test_a_guest_registers_on_the_way_and_keeps_the_cart(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop, language="es", width=390)
    book = add_book(shop.http, "Pedro Páramo")
    page = visit.page
    assert page.request.post(f"{visit.origin}/api/v1/cart/add", data={"book_id": book, "quantity": 1}).ok
    page.goto(f"{visit.address}wishlist?sort=title")
    page.get_by_role("link", name="Crear una cuenta").click()
    expect(page.get_by_role("heading", name="Crear una cuenta")).to_be_visible()
    email = page.get_by_label("Correo electrónico")
    fields = page.locator("main form input[autocomplete]").evaluate_all("all => all.map((one) => one.autocomplete)")
    assert fields[:4] == ["username", "given-name", "family-name", "new-password"]
    email.fill("nueva@x.es")
    page.get_by_label("Nombre").fill("Ana")
    page.get_by_label("Apellidos").fill("Paz")
    password = page.get_by_label("Contraseña", exact=True)
    password.fill("corta")
    page.get_by_role("button", name="Crear cuenta").click()
    expect(password).to_have_accessible_description("Al menos 8 caracteres.")
    expect(password).to_be_focused()
    page.get_by_label("Mostrar").check()
    expect(password).to_have_attribute("type", "text")
    password.fill(PASSWORD)
    page.get_by_role("button", name="Crear cuenta").click()
    expect(page.get_by_role("heading", name="Lista de deseos")).to_be_visible()
    assert page.url == f"{visit.address}wishlist?sort=title"
    expect(page.get_by_role("link", name="Carrito, 1 libro")).to_be_visible()
    # Back leads to no second sign-in.
    page.go_back()
    expect(page.get_by_role("heading", name="Tu cuenta")).to_be_visible()


def test_refused_sign_ins_tell_nothing_and_say_how_long_to_wait(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop)
    register(visit_shop(visitor, shop), "known@x.es")
    page = visit.go("login")
    for email in ("unknown@x.es", "known@x.es"):
        sign_in(page, email, "another password")
        expect(page.get_by_role("alert")).to_have_text("The e-mail or the password is wrong.")
        expect(page.get_by_label("Password", exact=True)).to_be_focused()
        page.get_by_label("E-mail").fill("")
        page.reload()
    body = {"email": "known@x.es", "password": "another password", "tenant_id": "main"}
    until(lambda: shop.http.post(LOGIN, body).status, lambda status: status == 429)
    sign_in(page, "known@x.es", "another password")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts. Try again in")


def test_a_customer_changes_the_account_and_deletes_it(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop)
    register(visit, "account@x.es")
    body = {"email": "account@x.es", "password": PASSWORD, "tenant_id": "main"}
    assert shop.http.post(LOGIN, body).status == 200
    page = visit.go("account")
    page.get_by_label("First name").fill("Eva")
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_text("Eva, with us since")).to_be_visible()
    page.get_by_text("Novela").click()
    page.locator("main").get_by_label("Language").select_option("es")
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_role("heading", name="Tu cuenta", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("checkbox", name="Novela")).to_be_checked()

    expect(page.locator("[data-session]")).to_have_count(2)
    page.get_by_role("button", name="Cerrar todas las demás sesiones").click()
    expect(page.locator("[data-session]")).to_have_count(1)
    page.get_by_label("Contraseña actual").fill("otra cosa")
    page.get_by_label("Contraseña nueva").fill("ocho perros azules")
    page.get_by_role("button", name="Cambiar contraseña").click()
    expect(page.get_by_label("Contraseña actual")).to_be_focused()
    page.get_by_label("Contraseña actual").fill(PASSWORD)
    page.get_by_role("button", name="Cambiar contraseña").click()
    expect(page.get_by_text("Contraseña cambiada")).to_be_visible()

    page.get_by_role("button", name="Eliminar la cuenta").click()
    dialog = page.get_by_role("dialog")
    assert barriers(page) == {}
    dialog.get_by_label("Contraseña", exact=True).fill("ocho perros azules")
    dialog.get_by_role("button", name="Eliminar la cuenta").click()
    expect(page.get_by_text("Tu cuenta se ha eliminado.")).to_be_visible()
    assert shop.http.post(LOGIN, {**body, "password": "ocho perros azules"}).status == 401


def test_a_wish_gets_cheaper_and_goes_into_the_cart(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop, width=390)
    register(visit, "wishes@x.es")
    cheaper = add_book(shop.http, "El Aleph", price=20)
    back = add_book(shop.http, "La tregua", stock_quantity=0)
    page = visit.page
    wishes = f"{visit.origin}/api/v1/users/wishlist"
    for book, priority in ((cheaper, 4), (back, 2)):
        assert page.request.post(f"{wishes}/{book}?priority={priority}").ok
    assert shop.http.ask("PUT", f"/api/v1/books/{cheaper}", {"price": 15}).status == 200
    assert shop.http.ask("PUT", f"/api/v1/books/{back}", {"stock_quantity": 3}).status == 200
    notices = f"{visit.origin}/api/v1/users/notices"
    until(lambda: len(page.request.get(notices).json()["data"]), lambda count: count == 2)

    visit.go("wishlist")
    books = page.locator(".listed-book h2")
    expect(books).to_have_text(["La tregua", "El Aleph"])
    expect(page.get_by_text("Back in stock")).to_be_visible()
    expect(page.locator(".badge.good")).to_contain_text("5.00 cheaper; it was")
    page.get_by_label("How much do you want it? El Aleph").select_option("1")
    expect(books).to_have_text(["El Aleph", "La tregua"])
    page.get_by_label("Sort by").select_option("cheaper")
    assert page.url == f"{visit.address}wishlist?sort=cheaper"

    page.get_by_role("button", name="Remove: La tregua").click()
    expect(books).to_have_text(["El Aleph"])
    expect(page.get_by_role("heading", name="Wishlist")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(books).to_have_count(2)
    page.get_by_role("button", name="Move to cart: El Aleph").click()
    expect(page.get_by_role("link", name="Cart, 1 book")).to_be_visible()
    expect(books).to_have_text(["La tregua"])

    page.locator(".masthead-links summary").click()
    page.get_by_role("link", name="Notices (2 new)").click()
    expect(page.get_by_text("El Aleph now costs")).to_be_visible()
    expect(page.locator(".notice.new")).to_have_count(2)
    expect(page.locator(".badge-count")).to_have_count(0)
    page.get_by_role("button", name="Remove the notice: La tregua is back in stock").click()
    expect(page.locator(".notice")).to_have_count(1)
    page.reload()
    expect(page.locator(".notice")).to_have_count(1)
    expect(page.locator(".notice.new")).to_have_count(0)


def test_a_session_that_ends_leads_back_to_where_the_customer_was(visitor: Visitor, shop: Suite) -> None:
    visit = visit_shop(visitor, shop)
    register(visit, "ended@x.es")
    book = add_book(shop.http, "Rayuela", author="Julio Cortázar")
    assert visit.page.request.post(f"{visit.origin}/api/v1/users/favorites/{book}").ok
    page = visit.go("favourites?sort=title")
    # A new sign-in elsewhere ends all other sessions, so this page's cookie is void.
    other = visit_shop(visitor, shop)
    body = {"email": "ended@x.es", "password": PASSWORD, "tenant_id": "main", "cookie": True}
    assert other.page.request.post(f"{visit.origin}{LOGIN}", data=body).ok
    assert other.page.request.delete(f"{visit.origin}/api/v1/sessions").ok
    page.get_by_role("button", name="Remove: Rayuela").click()
    expect(page.get_by_text("Then you go on where you were.")).to_be_visible()
    sign_in(page, "ended@x.es")
    expect(page.get_by_role("heading", name="Favourites")).to_be_visible()
    assert page.url == f"{visit.address}favourites?sort=title"
    expect(page.locator(".listed-book")).to_have_count(1)
