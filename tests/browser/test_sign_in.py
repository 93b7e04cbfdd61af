"""Signing in to the dashboard, in front of a suite that asks for accounts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Suite, Visit, Visitor
from tests.browser.test_pages import barriers
from tests.support.http import Http
from tests.support.intake import (
    PATIENCE,
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    InventoryProcess,
    PersistenceProcess,
)

PASSWORD = "siete gatos verdes"
# The cheapest that is allowed.
HASHING = {"PASSWORD_ROUNDS": 1, "PASSWORD_MEMORY_KIB": 7168}
TOKEN = {"SERVICE_TOKEN": "a token of the tests, long enough"}
CLOSED = {
    "STAGE": "test",
    "JWT_SECRET": "a secret of the tests, long enough",
    "SHUTDOWN_SECONDS": 1,
    **TOKEN,
    **HASHING,
}
ENTRIES = {
    "sign-in": ("Sign in", "Iniciar sesión"),
    "register": ("Create an account", "Crear una cuenta"),
    "password": ("Reset your password", "Restablecer tu contraseña"),
}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite in which nothing is open without an account."""
    folder = tmp_path_factory.mktemp("closed")
    with ExitStack() as stack:
        behind = [IntakeProcess(folder), PersistenceProcess(folder, TOKEN), DistributedProcess(folder, TOKEN)]
        servers = [stack.enter_context(server) for server in behind]
        stack.enter_context(InventoryProcess(folder, servers, TOKEN))
        gateway = stack.enter_context(GatewayProcess(folder, servers, CLOSED))
        yield Suite(servers, gateway, Http(gateway), folder)


def add_account(suite: Suite, email: str, role: str) -> None:
    """Adds an account with PASSWORD, as an administrator at the command line would."""
    ports = {server.port_setting: str(server.port) for server in suite.servers}
    words = [sys.executable, "-m", "clients", "user", "add", email, "--role", role, "--json"]
    environ = {**os.environ, "ENV_FILE": "/dev/null", **TOKEN, **ports}
    added = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=True)
    token = json.loads(added.stdout)["link"].partition("token=")[2]
    body = {"token": token, "password": PASSWORD}
    assert suite.http.post("/api/v1/users/password/reset/confirm", body).status == 200


@pytest.fixture(scope="module")
def accounts(closed: Suite) -> None:
    """A viewer and an operator."""
    add_account(closed, "viewer@x.es", "viewer")
    add_account(closed, "operator@x.es", "operator")
    assert closed.http.post("/tasks", {"title": "x"}).status == 401


def fill(page: Page, email: str, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")


def enter(visit: Visit, place: str, email: str) -> Page:
    """Goes to a page, and signs in on the way."""
    page = visit.page
    page.goto(f"{visit.address}{place}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    fill(page, email)
    page.wait_for_selector(f'main[data-place="{place}"] h1')
    return page


def test_first_administrator_sets_a_password_signs_in_and_out(closed: Suite, visitor: Visitor) -> None:
    visit = visitor(gateway=closed.gateway)
    page = visit.page
    link = next(entry["event"] for entry in closed.gateway.log if "/admin/password#token=" in entry["event"])
    page.goto(f"{visit.address}password{link.partition('/admin/password')[2]}")
    new = page.get_by_label("New password")
    expect(new).to_be_visible()
    # The secret leaves the address, and so the history.
    assert page.url == f"{visit.address}password"
    new.fill("short")
    page.keyboard.press("Enter")
    expect(new).to_have_accessible_description("At least 8 characters.")
    expect(new).to_be_focused()
    new.fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your password is set")).to_be_visible()
    page.get_by_role("link", name="Sign in").click()
    fill(page, "admin@localhost", "another password")
    expect(page.get_by_role("alert")).to_have_text("The e-mail or the password is wrong.")
    fill(page, "admin@localhost")
    page.wait_for_selector('.signal[data-connection="live"]')
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("comanda_session", True, "Lax")

    page.get_by_role("link", name="admin@localhost").click()
    expect(page.get_by_role("heading", name="Account", exact=True)).to_be_focused()
    expect(page.locator(".facts")).to_contain_text("administrator")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.context.cookies() == []
    page.goto(f"{visit.address}account")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.usefixtures("accounts")
def test_operator_returns_to_the_page_after_the_session_has_ended(closed: Suite, visitor: Visitor) -> None:
    visit = visitor(gateway=closed.gateway)
    page = enter(visit, "orders/list/listo", "operator@x.es")
    page.goto(f"{visit.address}tasks")
    page.get_by_label("New task").fill("Count the cellar")
    page.keyboard.press("Enter")
    expect(page.get_by_role("checkbox", name="Count the cellar")).to_be_visible()

    other = enter(visitor(gateway=closed.gateway), "account", "operator@x.es")
    other.get_by_role("button", name="End the session of").click()
    expect(other.get_by_text("Session ended")).to_be_visible()
    expect(other.locator("[data-session]")).to_have_count(1)

    page.get_by_role("checkbox", name="Count the cellar").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("nav.places")).to_have_count(0)
    fill(page, "operator@x.es")
    expect(page.get_by_role("checkbox", name="Count the cellar")).to_be_visible()
    assert page.url == f"{visit.address}tasks"


@pytest.mark.usefixtures("accounts")
def test_viewer_is_offered_nothing_that_changes_something(closed: Suite, visitor: Visitor) -> None:
    visit = visitor(gateway=closed.gateway)
    page = enter(visit, "orders", "viewer@x.es")
    expect(page.get_by_role("link", name="All orders")).to_have_attribute("aria-current", "page")
    for place in (
        "",
        "orders/failed",
        "inventory",
        "inventory/import",
        "inventory/alerts",
        "tasks",
        "ranking",
    ):
        page = visit.go(place)
        expect(page.locator(".button.primary, main form input:not([type=search]), input[type=file]")).to_have_count(0)


def test_customer_registers_and_has_an_account_and_nothing_else(closed: Suite, visitor: Visitor) -> None:
    visit = visitor(gateway=closed.gateway, language="es", width=390)
    page = visit.go("register")
    page.get_by_label("Correo electrónico").fill("nueva@x.es")
    page.get_by_label("Nombre").fill("Ana")
    page.get_by_label("Apellidos").fill("Paz")
    password = page.get_by_label("Contraseña", exact=True)
    password.fill("corta")
    page.get_by_role("button", name="Crear cuenta").click()
    expect(password).to_have_accessible_description("Al menos 8 caracteres.")
    password.fill(PASSWORD)
    page.get_by_role("button", name="Crear cuenta").click()
    expect(page.get_by_role("heading", name="Cuenta", exact=True)).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("cliente")
    page.get_by_label("Contraseña actual").fill(PASSWORD)
    page.get_by_label("Contraseña nueva").fill("ocho perros azules")
    page.get_by_role("button", name="Cambiar contraseña").click()
    expect(page.get_by_text("Contraseña cambiada")).to_be_visible()
    page.goto(f"{visit.address}orders/list")
    expect(page.get_by_role("heading", name="Cuenta", exact=True)).to_be_visible()
    expect(page.locator(".lines li")).to_have_count(1)
    assert barriers(page) == {}


def test_password_managers_know_the_fields(closed: Suite, visitor: Visitor) -> None:
    visit = visitor(gateway=closed.gateway)
    found = {
        place: visit.go(place)
        .locator("form input[autocomplete]")
        .evaluate_all("all => all.map((one) => one.autocomplete)")
        for place in ("sign-in", "register")
    }
    assert found["sign-in"][:2] == ["username", "current-password"]
    assert found["register"][:4] == ["username", "given-name", "family-name", "new-password"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_kept_out_of_the_sign_in(closed: Suite, visitor: Visitor, theme: str) -> None:
    visit = visitor(gateway=closed.gateway, theme=theme, width=360, language="es")
    for place, titles in ENTRIES.items():
        page = visit.go(place)
        expect(page.locator("h1")).to_have_text(titles[1])
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, place
        assert barriers(page) == {}, place
    visit.go("sign-in").locator("summary").click()
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Iniciar sesión").click()
    assert barriers(page) == {}


def test_tenant_is_named_and_an_unknown_one_is_refused(closed: Suite, visitor: Visitor) -> None:
    page = visitor(gateway=closed.gateway).go("sign-in")
    page.get_by_text("Tenant: main").click()
    page.get_by_label("Tenant", exact=True).fill("nowhere")
    fill(page, "viewer@x.es")
    expect(page.get_by_role("alert")).to_have_text("There is no tenant with this name.")


def test_development_says_that_everything_is_open(visitor: Visitor) -> None:
    page = visitor().go()
    expect(page.get_by_text("everything is open on this machine")).to_be_visible()
    page.locator(".stage").get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="Continue without signing in").click()
    page.wait_for_selector('.signal[data-connection="live"]')
