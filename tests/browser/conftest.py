"""The dashboard and the shop in a real browser, in front of real suites; without a network."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from shared.domain.isbn import complete_isbn
from tests.support.http import Http, Reply
from tests.support.intake import (
    PATIENCE,
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    InventoryProcess,
    PersistenceProcess,
    ServerProcess,
    ShopProcess,
)
from tests.support.waiting import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # Nothing else than this machine is to be had.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# What a browser says by itself of an answer that is not 2xx; the pages tell it where it belongs.
_REFUSED = "Failed to load resource"
_NUMBERS = count(100_000_000)
_BOOKS = 30


class Suite(NamedTuple):
    """All servers; `servers` are those behind the gateway, and `folder` is their data."""

    servers: Sequence[ServerProcess]
    gateway: GatewayProcess
    http: Http
    folder: Path


class Visit:
    """A person at an app. `wrong` is what the browser has complained of, and what left this machine."""

    def __init__(self, context: BrowserContext, gateway: GatewayProcess, app: str) -> None:
        self.origin = f"http://127.0.0.1:{gateway.port}"
        self.address = f"{self.origin}/{app}/"
        self.page: Page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_REFUSED):
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.wrong.append(f"asked {request.url}")

    def go(self, place: str = "") -> Page:
        """Opens a page, and waits until it is there."""
        self.page.goto(f"{self.address}{place}")
        self.page.wait_for_selector(f'main[data-place="{place.partition("?")[0]}"] h1')
        expect(self.page.locator(".waiting")).to_have_count(0)
        return self.page


Visitor = Callable[..., Visit]


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite whose kitchen does what the orders' customers say."""
    folder = tmp_path_factory.mktemp("dashboard")
    with ExitStack() as stack:
        kitchen: dict[str, str | int | float] = {"ORDER_HANDLER": "tests.support.kitchens:fussy", "SHUTDOWN_SECONDS": 1}
        behind = [IntakeProcess(folder, kitchen), PersistenceProcess(folder), DistributedProcess(folder)]
        servers = [stack.enter_context(server) for server in behind]
        stack.enter_context(InventoryProcess(folder, servers))
        gateway = stack.enter_context(GatewayProcess(folder, servers))
        yield Suite(servers, gateway, Http(gateway), folder)


def add_book(http: Http, title: str, **members: Any) -> str:
    """Adds a book to the shop, with plain values for what is not given; returns its id."""
    number = next(_NUMBERS)
    sent = {
        "isbn": complete_isbn(f"978{number:09}"),
        "title": title,
        "author": "J.K. Rowling",
        "editorial": "Salamandra",
        "category": "Fantasía",
        "price": 12.9,
        "stock_quantity": 12,
        "language": "en",
        "rating": 4.5,
        **members,
    }
    answer = http.post("/api/v1/books", sent)
    assert answer.status == 201, answer.json
    return str(answer.json["book_id"])


def is_complete(answer: Reply) -> bool:
    """Whether the search has all books."""
    return answer.status == 200 and answer.json["pagination"]["total_items"] == _BOOKS


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite with a shop of 30 books, whose workers take the simulated payments."""
    folder = tmp_path_factory.mktemp("shop")
    with ExitStack() as stack:
        persistence = PersistenceProcess(folder)
        fulfilling: dict[str, str | int | float] = {
            "ORDER_HANDLER": "services.shop.fulfilling:Fulfilling",
            persistence.port_setting: persistence.port,
            "SHUTDOWN_SECONDS": 1,
        }
        behind = [IntakeProcess(folder, fulfilling), persistence, DistributedProcess(folder)]
        servers = [stack.enter_context(server) for server in behind]
        stack.enter_context(ShopProcess(folder, servers))
        gateway = stack.enter_context(GatewayProcess(folder, servers))
        http = Http(gateway)
        for name in ("Philosopher's Stone", "Chamber of Secrets", "Goblet of Fire"):
            add_book(http, f"Harry Potter and the {name} (Harry Potter)")
        for number in range(_BOOKS - 3):
            add_book(http, f"Relato {number:02}", author=f"Autor {number % 5}", category="Novela", language="es")
        # The index follows within a second, and is not there before its first look.
        until(lambda: http.get("/api/v1/books?in_stock=true"), is_complete)
        yield Suite(servers, gateway, http, folder)


# The driver has an event loop running while it lives, which no test of another module may find.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What drives the browser."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """The browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def visitor(browser: Browser, suite: Suite) -> Iterator[Visitor]:
    """Lets somebody visit an app, the dashboard by default; nothing may have gone wrong in the end."""
    visits = []

    def visit(
        *,
        language: str = "en",
        theme: str = "light",
        width: int = 1280,
        gateway: GatewayProcess | None = None,
        app: str = "admin",
    ) -> Visit:
        context = browser.new_context(
            locale={"en": "en-GB", "es": "es-ES"}[language],
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": 844},
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        visits.append(Visit(context, gateway or suite.gateway, app))
        return visits[-1]

    yield visit
    for one in visits:
        one.page.context.close()
        assert one.wrong == []
