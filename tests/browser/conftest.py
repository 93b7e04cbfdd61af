"""The dashboard in a real browser, in front of a real suite; without a network."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

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

from tests.support.http import Http
from tests.support.intake import (
    PATIENCE,
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    InventoryProcess,
    PersistenceProcess,
    ServerProcess,
)

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


class Suite(NamedTuple):
    """All servers; `servers` are those behind the gateway, and `folder` is their data."""

    servers: Sequence[ServerProcess]
    gateway: GatewayProcess
    http: Http
    folder: Path


class Visit:
    """A person at the dashboard. `wrong` is what the browser has complained of, and what left this machine."""

    def __init__(self, context: BrowserContext, gateway: GatewayProcess) -> None:
        self.origin = f"http://127.0.0.1:{gateway.port}"
        self.address = f"{self.origin}/admin/"
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
        self.page.wait_for_selector(f'main[data-place="{place}"] h1')
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
    """Lets somebody visit the dashboard; nothing may have gone wrong in the end."""
    visits = []

    def visit(
        *, language: str = "en", theme: str = "light", width: int = 1280, gateway: GatewayProcess | None = None
    ) -> Visit:
        context = browser.new_context(
            locale={"en": "en-GB", "es": "es-ES"}[language],
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": 844},
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        visits.append(Visit(context, gateway or suite.gateway))
        return visits[-1]

    yield visit
    for one in visits:
        one.page.context.close()
        assert one.wrong == []
