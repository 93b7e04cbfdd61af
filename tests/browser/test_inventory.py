"""Stock in the dashboard: brought in, looked at, corrected, seen to, and taken back."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Suite, Visitor

HEAD = "store;item;count\n"


@pytest.fixture(params=[1280, 390])
def page(visitor: Visitor, request: pytest.FixtureRequest) -> Page:
    """The page where files are brought in; wide, or on a phone."""
    return visitor(width=request.param).go("inventory/import")


def store_of(page: Page) -> str:
    """A store that only this test has."""
    size = page.viewport_size
    assert size is not None
    return f"Oslo {size['width']}"


def choose(page: Page, text: str, name: str = "s.csv") -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "text/csv", "buffer": text.encode()})


def items(suite: Suite, store: str) -> dict[str, Any]:
    found = suite.http.get(f"/items/{store.replace(' ', '%20')}").json
    return {one["item"]: one["count"] for one in found.get("items", ())}


def bring(suite: Suite, store: str, **counts: int) -> None:
    rows = "".join(f"{store};{item};{count}\n" for item, count in counts.items())
    sent = suite.http.ask(
        "POST", "/items/upload?again=true", (HEAD + rows).encode(), headers={"Content-Type": "text/csv"}
    )
    assert sent.status == 201


def test_a_file_is_looked_at_imported_and_undone(suite: Suite, page: Page) -> None:
    store = store_of(page)
    text = f"{HEAD}{store};pan;12\n{store};agua;3\n"
    # A name of its own: other tests have imports of theirs in the same list.
    name = f"{store}.csv"
    imports = page.locator("tr[data-import]").filter(has_text=name)
    choose(page, text, name)
    report = page.get_by_role("region", name="Preview of the import")
    expect(report).to_contain_text(name)
    expect(report.locator("tbody tr").nth(0)).to_contain_text("12")
    assert items(suite, store) == {}
    page.get_by_role("button", name="Import 2 rows").click()
    expect(page.get_by_text("2 rows imported")).to_be_visible()
    assert items(suite, store) == {"agua": 3, "pan": 12}

    choose(page, text, name)
    expect(report).to_contain_text("already imported")
    page.get_by_role("button", name="Import again").click()
    expect(report).to_contain_text("unchanged: 2")

    expect(imports).to_have_count(2)
    expect(imports.nth(0)).to_contain_text("0 new, 0 changed, 2 unchanged")
    page.get_by_role("button", name=f"Undo the import {name}").nth(1).click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(imports.nth(1)).to_contain_text("undone")
    assert items(suite, store) == {}


def test_bad_rows_are_told_and_the_good_ones_imported(suite: Suite, page: Page) -> None:
    store = f"{store_of(page)} bad"
    choose(page, f"{HEAD}{store};pan;12\n{store};agua;-4\n")
    faults = page.get_by_role("table", name="Invalid rows")
    expect(faults.locator("tbody tr")).to_have_count(1)
    expect(faults).to_contain_text("-4")
    page.get_by_role("button", name="Import only the 1 valid row").click()
    expect(page.get_by_text("1 row imported")).to_be_visible()
    assert items(suite, store) == {"pan": 12}


def test_a_file_without_a_header_is_refused_in_words(page: Page) -> None:
    choose(page, "nothing of the kind\n")
    expect(page.get_by_role("alert")).to_contain_text("no column is called store")


def test_a_count_is_corrected_unless_somebody_else_was_faster(suite: Suite, visitor: Visitor) -> None:
    bring(suite, "Lima", pan=12)
    page = visitor().go("inventory/stock/Lima")
    page.get_by_role("button", name="Correct the count of pan").click()
    count = page.get_by_label("Count of pan", exact=True)
    expect(count).to_be_focused()
    count.fill("3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("pan: now 3")).to_be_visible()
    expect(page.locator("tr.low")).to_contain_text("low")
    page.get_by_role("button", name="Movements of pan").click()
    expect(page.get_by_role("dialog").locator("li").first).to_contain_text("Manual count")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")

    page.get_by_role("button", name="Correct the count of pan").click()
    suite.http.ask("PUT", "/items/Lima/pan", {"count": 70})
    page.get_by_label("Count of pan", exact=True).fill("4")
    page.keyboard.press("Enter")
    expect(page.get_by_text("pan changed in the meantime")).to_be_visible()
    expect(page.locator("tbody tr")).to_contain_text("70")


def test_an_alert_comes_by_itself_and_is_seen_to(suite: Suite, visitor: Visitor) -> None:
    page = visitor().go("inventory/alerts")
    bring(suite, "Quito", miel=1)
    page.get_by_role("button", name="Acknowledge the alert of miel").click()
    expect(page.get_by_text("Alert of miel acknowledged")).to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge the alert of miel")).to_have_count(0)
    page.get_by_role("button", name="acknowledged").click()
    expect(page.locator(".lines li", has_text="miel")).to_contain_text("Quito")


def test_stock_is_exported(suite: Suite, visitor: Visitor) -> None:
    bring(suite, "Cusco", pan=12)
    page = visitor().go("inventory/stock/Cusco")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert "Cusco,pan,12" in download.value.path().read_text()
