"""Orders in the dashboard: placed, followed, and mended when they failed."""

import itertools
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Suite, Visitor

_numbers = itertools.count()


def place(suite: Suite, customer: str) -> str:
    """Has an order accepted; gives its id."""
    order = {"cliente": customer, "productos": ["pan"], "direccion": f"Calle {next(_numbers)}"}
    return str(suite.http.post("/api/v1/orders", order).json["id"])


def look(suite: Suite, order: str) -> Any:
    return suite.http.get(f"/api/v1/orders/{order}").json


def letter(page: Page, order: str) -> Any:
    return page.locator(f'.letter[data-order="{order}"]')


def test_an_order_is_followed_until_it_is_ready(suite: Suite, visitor: Visitor) -> None:
    page = visitor().go("orders")
    page.get_by_label("Customer", exact=True).fill("Marta")
    page.get_by_label("Product", exact=True).fill("pan")
    page.get_by_label("Quantity", exact=True).fill("3")
    page.get_by_label("Address").fill("Calle Mayor 1")
    page.get_by_label("Priority").select_option("alta")
    page.get_by_role("button", name="Place order").click()
    page.wait_for_selector('.follow[data-state="listo"]')
    order = look(suite, str(page.get_attribute(".follow", "data-order")))
    assert (order["cliente"], order["direccion"], order["prioridad"]) == ("Marta", "Calle Mayor 1", "alta")
    assert order["productos"] == [{"producto": "pan", "cantidad": 3}]
    assert page.input_value("[name=cliente]") == ""


def test_what_is_wrong_is_told_at_its_field(visitor: Visitor) -> None:
    page = visitor().go("orders")
    page.get_by_label("Customer", exact=True).fill("Marta")
    page.get_by_label("Product", exact=True).fill("pan")
    page.get_by_role("button", name="Place order").click()
    address = page.get_by_label("Address")
    expect(address).to_be_focused()
    expect(address).to_have_accessible_description("This is needed.")
    address.fill("Calle Mayor 1")
    page.get_by_label("Quantity").fill("0")
    page.get_by_role("button", name="Place order").click()
    expect(page.get_by_label("Quantity")).to_be_focused()
    expect(page.get_by_label("Customer", exact=True)).to_have_value("Marta")


def test_an_order_is_placed_with_the_keyboard_alone(visitor: Visitor) -> None:
    page = visitor().go()
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    expect(page.locator("main")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("link", name="New order")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("heading", name="Orders", exact=True)).to_be_focused()
    for _ in range(4):
        press("Tab")
    expect(page.get_by_label("Customer", exact=True)).to_be_focused()
    for text in ("Iván", "pan", "2"):
        page.keyboard.type(text)
        press("Tab")
    expect(page.get_by_role("button", name="Add a product")).to_be_focused()
    press("Tab")
    page.keyboard.type("Calle Mayor 1")
    press("Enter")
    page.wait_for_selector('.follow[data-state="listo"]')


def test_orders_move_on_the_overview_by_themselves(suite: Suite, visitor: Visitor) -> None:
    page = visitor().go()
    page.wait_for_selector('.signal[data-connection="live"]', state="attached")
    place(suite, "Lucía")
    done = place(suite, "never ends")
    page.wait_for_selector('.lane[data-state="listo"] .card:has-text("Lucía")')
    page.wait_for_selector(f'.lane[data-state="en proceso"] .card[data-id="{done}"]')
    expect(page.locator('.lane[data-state="en proceso"] .count')).to_have_text("1")


def test_a_failed_order_is_edited_and_replaced(suite: Suite, visitor: Visitor) -> None:
    failed = place(suite, "rejected")
    page = visitor().go("orders/failed")
    letter(page, failed).get_by_role("button", name="Edit and replay").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Customer", exact=True).fill("Nadie")
    dialog.get_by_role("button", name="Edit as JSON").click()
    assert '"cliente": "Nadie"' in dialog.get_by_label("The order as JSON").input_value()
    dialog.get_by_role("button", name="Edit as form").click()
    dialog.get_by_role("button", name="Replay").click()
    expect(page.get_by_text(" replaces ")).to_be_visible()
    expect(letter(page, failed)).to_have_count(0)
    assert look(suite, failed)["estado"] == "cancelado"
    placed = suite.http.get("/api/v1/orders?cliente=Nadie").json["pedidos"]
    assert [order["request_id"].startswith(f"replay:{failed}:") for order in placed] == [True]


def test_each_failed_attempt_is_shown_with_its_place_and_traceback(suite: Suite, visitor: Visitor) -> None:
    failed = place(suite, "rejected")
    page = visitor().go("orders/failed")
    letter(page, failed).get_by_role("button", name="Attempts").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Attempt 1: not in this house")
    expect(dialog).to_contain_text("kitchens.py")
    expect(dialog.get_by_label("Traceback of attempt 1")).to_contain_text("raise Reject")


def test_a_failed_order_is_tried_again_as_it_is(suite: Suite, visitor: Visitor) -> None:
    failed = place(suite, "rejected")
    page = visitor().go("orders/failed")
    letter(page, failed).get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Order queued again")).to_be_visible()
    # Its only attempt and one more.
    expect(letter(page, failed)).to_contain_text("2 attempts")


def test_a_failed_order_is_discarded_when_that_is_meant(suite: Suite, visitor: Visitor) -> None:
    failed = place(suite, "rejected")
    page = visitor().go("orders/failed")
    discard = letter(page, failed).get_by_role("button", name="Discard")
    discard.click()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    expect(discard).to_be_focused()
    assert look(suite, failed)["estado"] == "fallido"
    discard.click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(letter(page, failed)).to_have_count(0)
    assert look(suite, failed)["estado"] == "cancelado"


def test_a_lane_that_could_not_be_filled_says_so_and_the_others_are_there(suite: Suite, visitor: Visitor) -> None:
    failed = place(suite, "rejected")
    ready = place(suite, "Olga")
    page = visitor().go("orders/list/listo")
    page.wait_for_selector("tr:has-text('Olga')")
    visit = visitor()
    visit.page.route("**/api/v1/orders?estado=fallido*", lambda route: route.abort())
    page = visit.go()
    page.wait_for_selector(f'.lane[data-state="listo"] .card[data-id="{ready}"]')
    lane = page.locator('.lane[data-state="fallido"]')
    expect(lane).to_contain_text("none since you opened this page")
    visit.page.unroute_all()
    page = visit.go("orders")
    page.reload()
    page = visit.go()
    page.wait_for_selector(f'.lane[data-state="fallido"] .card[data-id="{failed}"]')
