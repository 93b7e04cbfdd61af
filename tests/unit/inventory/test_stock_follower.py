"""What the follower makes of changes: movements, and alerts that begin and end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.persistence import StoredChange, StoredItem
from services.inventory.stock_follower import CountChange, build_movement, next_alert
from shared.domain.stock import StockThresholds

LEVELS = StockThresholds(5, 2)


def item(count: int | None, version: int = 1, **members: Any) -> StoredItem | None:
    """An item as the feed tells of it."""
    return None if count is None else StoredItem({"store": "A", "item": "x", "count": count, **members}, version)


def change(before: StoredItem | None, after: StoredItem | None) -> StoredChange:
    return StoredChange("main", "Stock", "2026-01-01T00:00:00.000000Z", before, after)


def alerts(*counts: int | None) -> list[tuple[str, int]]:
    """Every alert on the way of a count, as it was when it began or ended."""
    told: list[tuple[str, int]] = []
    alert: dict[str, Any] | None = None
    before: int | None = None
    for after in counts:
        found = next_alert(alert, CountChange("A", "x", before, after), LEVELS, "now")
        if found is not None:
            alert = found
            told.append((found["state"], found["number"]))
        before = after
    return told


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((9, 5), []),
        ((9, 4), [("open", 1)]),
        ((3,), [("open", 1)]),
        ((9, 4, 3, 0, 4), [("open", 1)]),
        ((9, 4, 6, 4), [("open", 1)]),
        ((9, 4, 7, 4), [("open", 1), ("closed", 1), ("open", 2)]),
        ((9, 4, None), [("open", 1), ("closed", 1)]),
        ((9, None), []),
        ((9, 4, None, 4), [("open", 1), ("closed", 1), ("open", 2)]),
    ],
)
def test_an_alert_is_told_once_for_each_crossing(counts: tuple[int | None, ...], told: list[tuple[str, int]]) -> None:
    assert alerts(*counts) == told


@given(st.lists(st.integers(0, 12) | st.none(), max_size=30))
def test_alerts_begin_and_end_in_turn(counts: list[int | None]) -> None:
    told = alerts(*counts)
    assert [state for state, _ in told] == (["open", "closed"] * len(told))[: len(told)]
    assert [number for _, number in told] == [place // 2 + 1 for place in range(len(told))]


def test_an_acknowledged_alert_ends_too() -> None:
    alert = {"state": "acknowledged", "number": 3}
    found = next_alert(alert, CountChange("A", "x", 4, 9), LEVELS, "now")
    assert found is not None
    assert (found["state"], found["number"]) == ("closed", 3)


def test_movements_say_what_has_changed_and_why() -> None:
    said = {"cause": "order", "reference": "an order", "orders": 3, "changed": "t2"}
    movement = build_movement(change(item(9, 4, changed="t1"), item(7, 5, **said)))
    assert movement is not None
    assert (movement["change"], movement["count"], movement["version"]) == (-2, 7, 5)
    assert (movement["cause"], movement["reference"], movement["orders"]) == ("order", "an order", 3)


def test_who_does_not_say_why_has_edited() -> None:
    # What stands in the item is of the change before.
    said = {"cause": "order", "reference": "an order", "changed": "t1"}
    movement = build_movement(change(item(9, 4, **said), item(7, 5, **said)))
    assert movement is not None
    assert (movement["cause"], "reference" in movement) == ("edit", False)
    created = build_movement(change(None, item(7)))
    assert created is not None
    assert created["cause"] == "edit"


def test_what_goes_and_what_stays() -> None:
    gone = build_movement(change(item(7, 5), None))
    assert gone is not None
    assert (gone["change"], gone["count"], gone["cause"]) == (-7, 0, "removal")
    assert build_movement(change(item(7, 5), item(7, 6))) is None
    assert build_movement(change(None, item(0))) is not None


@given(st.lists(st.integers(0, 50) | st.none(), max_size=20))
def test_movements_add_up_and_each_has_a_key_of_its_own(counts: list[int | None]) -> None:
    total, version, before = 0, 0, None
    keys: list[str] = []
    for count in counts:
        version = version + 1 if before is not None else 1
        after = item(count, version)
        if before is None and after is None:
            continue
        # The clock may stand still.
        movement = build_movement(change(before, after))
        if movement is not None:
            total += movement["change"]
            keys.append(movement["entry"])
        assert total == (count or 0)
        before = after
    if None not in counts:
        assert len(set(keys)) == len(keys)
