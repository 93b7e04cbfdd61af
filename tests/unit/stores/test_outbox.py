"""Entries of the outbox of orders."""

import pytest

from shared.stores.outbox import OutboxEntry, Span, without_orders


@pytest.mark.parametrize(
    ("removed", "left"),
    [
        ([], [(5, 4)]),
        ([(1, 3)], [(5, 4)]),
        ([(9, 3)], [(5, 4)]),
        ([(5, 4)], []),
        ([(1, 100)], []),
        ([(5, 1)], [(6, 3)]),
        ([(8, 1)], [(5, 3)]),
        ([(6, 1)], [(5, 1), (7, 2)]),
        ([(1, 5), (7, 1), (8, 9)], [(6, 1)]),
    ],
)
def test_orders_are_taken_out_of_an_entry(removed: list[Span], left: list[Span]) -> None:
    entry = OutboxEntry(done=[(5, 4)], failed=[(5, 4, "no")], started=[(200, 2)])
    expected = OutboxEntry(done=left, failed=[(*span, "no") for span in left], started=[(200, 2)])
    assert without_orders(entry, removed) == expected
