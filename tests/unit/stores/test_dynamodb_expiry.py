"""Items that expire on DynamoDB: its time to live removes them, and they are not mistaken for marks of removals."""

from decimal import Decimal
from typing import Any

import pytest

from shared.domain.records import Record, Table
from shared.stores.dynamodb.items import GONE, live_record, raw_item, record_of, removed_item
from shared.stores.dynamodb.stream_feed import _split_change
from shared.stores.ports.records import Change

TICKETS = Table("Tickets", partition="id", expires="expires")


@pytest.mark.parametrize(("expires", "ttl"), [(100, "100"), (Decimal("100.2"), "101"), (10**30, str(10**30))])
def test_expiry_is_the_time_to_live(expires: Any, ttl: str) -> None:
    record = Record({"id": "x", "expires": expires}, 7)
    raw = raw_item(TICKETS, "t\x1fx", "", record, "w")
    assert raw[GONE] == {"N": ttl}
    assert record_of(raw) == record
    assert (live_record(TICKETS, raw) is None) == (expires < 10**9)


@pytest.mark.parametrize("expires", [None, True, "100", [100]])
def test_other_values_are_no_expiry(expires: Any) -> None:
    record = Record({"id": "x", "expires": expires}, 7)
    raw = raw_item(TICKETS, "t\x1fx", "", record, "w")
    assert GONE not in raw
    assert live_record(TICKETS, raw) == record


def test_mark_of_a_removal_is_no_item() -> None:
    assert record_of(removed_item(TICKETS, "t\x1fx", "", 7, "w", until=10**12)) is None


@pytest.mark.parametrize(("version", "parts"), [(6, 1), (1_764_000_000_000, 2)])
def test_next_item_of_a_key_is_another_one(version: int, parts: int) -> None:
    change = Change("Tickets", "t", Record({"id": "x", "expires": 1}, 5), Record({"id": "x"}, version), 0)
    found = _split_change(change)
    assert len(found) == parts
    assert (found[0].old, found[-1].new) == (change.old, change.new)
