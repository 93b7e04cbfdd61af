"""Which changes are offers, and for whom they make notices."""

from typing import Any

import pytest

from shared.domain.notices import Offer, find_offer, make_notice, make_purchase_notice

AT = "2026-11-27T10:00:00.000000Z"
WISH = {"user": "ana", "book": "b", "added_at": "2026-11-20T10:00:00.000000Z", "price_when_added": 900}


def book(price: int | None, **members: Any) -> dict[str, Any]:
    return {"book": "b", "price": price, "active": True, **members}


def copies(count: Any, store: str = "Main") -> dict[str, Any]:
    return {"store": store, "item": "b", "count": count}


@pytest.mark.parametrize(
    ("table", "old", "new", "kind"),
    [
        ("Books", book(900), book(800), "cheaper"),
        ("Books", book(900), book(900), None),
        ("Books", book(800), book(900), None),
        ("Books", book(900), book(None), None),
        ("Books", book(None), book(900), None),
        ("Books", book(900), book(800, active=False), None),
        ("Books", None, book(800), None),
        ("Books", book(900), None, None),
        ("Stock", copies(0), copies(1), "back_in_stock"),
        ("Stock", None, copies(1), "back_in_stock"),
        ("Stock", copies(-1), copies(2), "back_in_stock"),
        ("Stock", copies(0), copies(1, "MAIN"), "back_in_stock"),
        ("Stock", copies(0), copies(1, "Other"), None),
        ("Stock", copies(1), copies(2), None),
        ("Stock", copies(1), copies(0), None),
        ("Stock", copies(0), copies("many"), None),
        ("Tasks", copies(0), copies(1), None),
    ],
)
def test_a_fall_of_the_price_and_a_return_of_copies_are_offers(
    table: str, old: dict[str, Any] | None, new: dict[str, Any] | None, kind: str | None
) -> None:
    offer = find_offer(table, AT, old, new)
    assert (None if offer is None else offer.kind) == kind


@pytest.mark.parametrize(
    ("price", "wish", "made"),
    [
        (800, {}, True),
        (900, {}, False),
        (950, {}, False),
        (950, {"price_when_added": None}, True),
        (800, {"added_at": "2026-11-28T10:00:00.000000Z"}, False),
        (None, {}, True),
    ],
)
def test_a_notice_is_for_a_wish_that_is_older_and_was_not_cheaper(
    price: int | None, wish: dict[str, Any], made: bool
) -> None:
    offer = Offer("back_in_stock" if price is None else "cheaper", "b", AT, price, None if price is None else 1000)
    notice = make_notice(offer, {**WISH, **wish}, "A title")
    assert (notice is not None) == made
    if notice is not None:
        assert notice == make_notice(offer, {**WISH, **wish}, "A title")
        assert (notice.user, notice.title, notice.price) == ("ana", "A title", price)


def _purchase(**members: Any) -> dict[str, Any]:
    item = {
        "book_id": "b", "title": "T", "author": "A", "category": "C", "quantity": 1, "unit_price": 1, "subtotal": 1,
        "tax": 0, "tax_rate": "0",
    }  # fmt: skip
    return {
        "user": "ana", "purchase": "p", "status": "pending", "total": 1, "net": 1, "tax": 0, "currency": "EUR",
        "exponent": 2, "payment_method": "card", "shipping_address": {}, "items": [item],
        "created_at": AT, "updated_at": AT, **members,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"status": "completed"}, "purchase_completed"),
        ({"status": "cancelled", "reason": "payment_declined"}, "purchase_cancelled"),
        ({"status": "cancelled", "reason": "customer"}, None),
        ({"order": "o"}, None),
        ({"status": "completed", "items": []}, None),
        ({"status": "lost"}, None),
    ],
)
def test_a_purchase_that_has_ended_makes_a_notice(change: dict[str, Any], kind: str | None) -> None:
    notice = make_purchase_notice(AT, _purchase(), _purchase(**change))
    assert (None if notice is None else notice.kind) == kind
    if notice is not None:
        assert (notice.user, notice.purchase, notice.book, notice.title) == ("ana", "p", "b", "T")
        assert notice.reason == change.get("reason")
    assert make_purchase_notice(AT, None, _purchase(**change)) is None
