"""Tasks, notifications and the ranking in the dashboard; and servers that go away and come back."""

import datetime
from collections.abc import Mapping
from pathlib import Path

import jwt
from playwright.sync_api import expect

from tests.browser.conftest import Suite, Visitor
from tests.support.http import Http
from tests.support.intake import GatewayProcess


def another(suite: Suite, settings: Mapping[str, str] | None = None) -> GatewayProcess:
    """One more gateway of the suite."""
    return GatewayProcess(suite.folder, suite.servers, {"SHUTDOWN_SECONDS": 1, **(settings or {})})


def test_a_task_is_added_edited_completed_and_deleted(suite: Suite, visitor: Visitor) -> None:
    page = visitor().go("tasks")
    page.get_by_label("New task").fill("Count the cellar")
    page.keyboard.press("Enter")
    task = page.get_by_role("checkbox", name="Count the cellar")
    task.check()
    page.get_by_role("button", name="done", exact=True).click()
    expect(task).to_be_checked()
    page.get_by_role("button", name="Edit Count the cellar").click()
    page.get_by_role("dialog").get_by_label("Description").fill("with a torch")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator(".lines li", has_text="Count the cellar")).to_contain_text("with a torch")
    stored = suite.http.get("/tasks?completed=true").json["tasks"][0]
    assert (stored["title"], stored["description"]) == ("Count the cellar", "with a torch")
    page.get_by_role("button", name="Delete Count the cellar").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(task).to_have_count(0)


def test_a_score_is_saved_and_told_of(visitor: Visitor) -> None:
    visit = visitor()
    page = visit.go("ranking")
    page.get_by_label("User number").fill("77")
    page.get_by_label("Score").fill("4321")
    page.get_by_role("button", name="Save the score").click()
    expect(page.get_by_text("New record: 4,321")).to_be_visible()
    expect(page.locator("tr.own")).to_contain_text("4,321")
    visit.go("notifications")
    new = page.locator("li.unread")
    expect(new).to_have_count(1)
    page.get_by_role("button", name="Mark as read").click()
    expect(new).to_have_count(0)
    expect(page.get_by_text("0 unread")).to_be_visible()


def test_the_page_goes_on_when_the_gateway_is_back(suite: Suite, visitor: Visitor, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, [], {}) as nobody:
        missing = visitor(gateway=nobody).go()
        expect(missing.get_by_role("alert").first).to_contain_text("Not available now")
        missing = visitor(gateway=nobody).go("inventory")
        expect(missing.get_by_text("Inventory unavailable")).to_be_visible()
    with another(suite) as gateway:
        page = visitor(gateway=gateway).go()
        page.wait_for_selector('.signal[data-connection="live"]', state="attached")
        suite.http.post("/api/v1/orders", {"cliente": "Before", "productos": ["pan"], "direccion": "x"})
        page.wait_for_selector('.card:has-text("Before")')
        gateway.kill()
        expect(page.get_by_text("Live connection lost")).to_be_visible()
        # What was known stays.
        expect(page.locator(".tiles .tile")).to_have_count(5)
        suite.http.post("/api/v1/orders", {"cliente": "Meanwhile", "productos": ["pan"], "direccion": "x"})
        gateway.start()
        expect(page.get_by_text("Live connection lost")).to_have_count(0)
        page.wait_for_selector('.card:has-text("Meanwhile")')
        Http(gateway).post("/api/v1/orders", {"cliente": "Afterwards", "productos": ["pan"], "direccion": "x"})
        page.wait_for_selector('.card:has-text("Afterwards")')


def test_a_server_that_asks_for_a_token_gets_one(suite: Suite, visitor: Visitor) -> None:
    secret = "a secret of at least thirty-two characters"
    with another(suite, {"STAGE": "test", "JWT_SECRET": secret}) as gateway:
        page = visitor(gateway=gateway).go("notifications")
        page.get_by_role("button", name="Open the settings").click()
        page.get_by_label("Token").fill(_token(secret))
        page.keyboard.press("Escape")
        expect(page.get_by_text("Your notifications.")).to_be_visible()
        expect(page.get_by_text("No notifications")).to_be_visible()


def _token(secret: str) -> str:
    now = datetime.datetime.now(datetime.UTC)
    claims = {"sub": "990099", "iat": now, "exp": now + datetime.timedelta(hours=1)}
    return jwt.encode(claims, secret, algorithm="HS256")
