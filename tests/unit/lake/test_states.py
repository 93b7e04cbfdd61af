"""The files of days: what is newest stays, in whatever order and how often it comes."""

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.errors import InvalidParams, StoreError
from shared.domain.ids import OrderRange
from shared.domain.states import ACCEPT, FINISH, REQUEUE, RETRY, START, Transition
from shared.lake.rows import ItemChange, iterate_step_rows, make_purchase_row, make_score_row, make_stock_row
from shared.lake.states import (
    derive_lines,
    derive_orders,
    forget_user,
    merge_rows,
    read_events,
    read_state,
    write_state,
)
from shared.lake.tables import FORGOTTEN, ORDER_STEPS, PURCHASES, SCORES, STOCK_MOVEMENTS, LakeTable

AT = "2026-11-27T23:59:59.999999Z"
RECEIVED = 1_795_000_000_000_000


def purchase(number: int = 1, **members: Any) -> dict[str, Any]:
    line = {"book_id": "b", "title": 'Año "1"\n', "author": "Ñ", "category": "C", "quantity": 3, "unit_price": 1299}
    return {
        "user": "ana",
        "purchase": f"p{number}",
        "status": "pending",
        "total": 3897,
        "net": 3747,
        "tax": 150,
        "currency": "EUR",
        "exponent": 2,
        "payment_method": "card",
        "shipping_address": {"street": "Mayor 1"},
        "items": [{**line, "subtotal": 3897, "tax": 150, "tax_rate": "4"}],
        "created_at": AT,
        "updated_at": AT,
        **members,
    }


def change(new: dict[str, Any] | None, version: int, old: dict[str, Any] | None = None) -> ItemChange:
    before = None if old is None else (old, version - 1 if new is not None else version)
    return ItemChange("main", AT, before, None if new is None else (new, version))


def merge(table: LakeTable, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = merge_rows(table, [read_events(b"".join(lines), table)]).to_pylist()
    return rows


def test_the_row_of_a_purchase_is_exact_to_the_cent_and_has_no_address() -> None:
    row = make_purchase_row(change(purchase(), 1), ())

    assert (row.folder, row.day) == ("purchase_events", "2026-11-27")
    assert b"Mayor" not in row.line
    (found,) = merge(PURCHASES, [row.line])
    assert (found["total_amount"], found["tax"]) == (Decimal("38.97"), Decimal("1.50"))
    assert found["items"][0]["title"] == 'Año "1"\n'
    assert found["created_at"].isoformat() == "2026-11-27T23:59:59.999999"


@pytest.mark.parametrize(
    ("exponent", "total", "shown"), [(0, 1500, "1500.00"), (2, 1, "0.01"), (3, 12345, "12.35"), (4, 10**14, "1E+10")]
)
def test_amounts_of_currencies_with_other_decimals(exponent: int, total: int, shown: str) -> None:
    row = make_purchase_row(change(purchase(exponent=exponent, total=total), 1), ())

    assert merge(PURCHASES, [row.line])[0]["total_amount"] == Decimal(shown)


@pytest.mark.parametrize(
    "members", [{"total": 10**30}, {"created_at": "yesterday"}, {"items": 1}, {"created_at": "9999-12-31T00:00:00Z"}]
)
def test_a_record_of_another_program_that_is_no_purchase_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        make_purchase_row(change(purchase(**members), 1), ())


def test_the_order_and_the_number_of_events_make_no_difference() -> None:
    first, second = purchase(), purchase(status="completed")
    lines = [
        make_purchase_row(change(first, 1), ()).line,
        make_purchase_row(change(second, 2, first), ()).line,
        make_purchase_row(change(purchase(2), 1), ()).line,
        make_purchase_row(change(purchase(3), 1), ()).line,
        make_purchase_row(change(None, 1, purchase(3)), ()).line,
    ]
    files = {
        write_state(merge_rows(PURCHASES, [read_events(b"".join([*order, order[0]]), PURCHASES)]), PURCHASES)
        for order in itertools.islice(itertools.permutations(lines), 0, None, 9)
    }

    (file,) = files
    rows = read_state(file, PURCHASES).to_pylist()
    assert [(row["purchase_id"], row["status"]) for row in rows] == [("p1", "completed"), ("p2", "pending")]
    late = read_events(lines[0], PURCHASES)
    assert write_state(merge_rows(PURCHASES, [read_state(file, PURCHASES), late]), PURCHASES) == file


def test_a_file_without_a_later_column_has_null_in_it() -> None:
    rows = merge_rows(PURCHASES, [read_events(make_purchase_row(change(purchase(), 1), ()).line, PURCHASES)])
    old = write_state(rows.drop_columns(["reason", "currency"]), PURCHASES)

    (row,) = read_state(old, PURCHASES).to_pylist()
    assert row["reason"] is None
    assert row["currency"] is None


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100])
def test_a_damaged_file_is_told_apart(data: bytes) -> None:
    with pytest.raises(StoreError):
        read_state(data, PURCHASES)


def test_a_damaged_line_is_told_apart() -> None:
    with pytest.raises(StoreError):
        read_events(b'{"purchase_id":"p1"', PURCHASES)


def test_a_forgotten_user_is_nobody_in_rows_and_in_later_events() -> None:
    lines = [make_purchase_row(change(purchase(1, user="eva"), 1), ()).line]
    lines.append(make_purchase_row(change(purchase(2), 1), {"ana"}).line)
    rows = forget_user(merge_rows(PURCHASES, [read_events(b"".join(lines), PURCHASES)]), PURCHASES, {"eva"})

    assert rows["user_id"].to_pylist() == [FORGOTTEN, FORGOTTEN]


def test_movements_are_changes_of_counts_with_their_cause() -> None:
    before = {"store": "Main", "item": "b", "count": 5, "cause": "import", "reference": "i1", "changed": "t1"}
    bought = {**before, "count": 3, "cause": "order", "reference": "p1", "changed": "t2"}
    edited = {**bought, "count": 4}
    changes = [
        change(before, 1),
        change(bought, 2, before),
        change(edited, 3, bought),
        change({**edited, "note": "x"}, 4, edited),
        change(None, 4, edited),
    ]
    rows = [row for one in changes if (row := make_stock_row(one)) is not None]

    found = merge(STOCK_MOVEMENTS, [row.line for row in (*rows, *rows)])
    assert [(row["change"], row["count"], row["cause"], row["reference"]) for row in found] == [
        (5, 5, "import", "i1"),
        (-2, 3, "order", "p1"),
        (1, 4, "edit", None),
        (-4, 0, "removal", None),
    ]


def test_scores_keep_each_record() -> None:
    first = {"user_id": 7, "puntaje_maximo": 10, "partidas": 1}
    second = {"user_id": 7, "puntaje_maximo": 10, "partidas": 2}
    rows = [make_score_row(change(first, 1), ()), make_score_row(change(second, 2, first), ())]

    found = merge(SCORES, [row.line for row in rows if row is not None])
    assert [(row["user_id"], row["games"], row["is_record"]) for row in found] == [("7", 1, True), ("7", 2, False)]


def steps(*changes: tuple[Transition, int, int, str | None]) -> list[bytes]:
    """Lines of changes, each of the order with this sequence, so many seconds after its receipt."""
    return [
        line
        for transition, sequence, seconds, detail in changes
        for _, line in iterate_step_rows(
            transition, RECEIVED + seconds * 1_000_000, [OrderRange(RECEIVED, 5, sequence, 1)], ['Ana "P"'], detail
        )
    ]


def test_orders_and_attempts_are_made_of_their_steps() -> None:
    lines = steps(
        (ACCEPT, 1, 0, None),
        (START, 1, 2, None),
        (FINISH, 1, 3, None),
        (ACCEPT, 2, 0, None),
        (START, 2, 1, None),
        # In one transaction: the failed attempt, and the next one.
        (REQUEUE, 2, 4, "boom"),
        (START, 2, 4, None),
        (ACCEPT, 3, 0, None),
    )
    merged = merge_rows(ORDER_STEPS, [read_events(b"".join(reversed(lines + lines)), ORDER_STEPS)])
    orders, attempts = derive_orders(merged)

    shown = [
        (row["state"], row["attempts"], row["waiting_ms"], row["processing_ms"], row["detail"])
        for row in orders.to_pylist()
    ]
    assert shown == [
        ("listo", 1, 2000.0, 1000.0, None),
        ("en proceso", 2, 1000.0, None, "boom"),
        ("en cola", 0, None, None, None),
    ]
    assert orders["customer"].to_pylist() == ['Ana "P"'] * 3
    assert [(row["attempt"], row["outcome"], row["detail"]) for row in attempts.to_pylist()] == [
        (1, "listo", None),
        (1, "en cola", "boom"),
        (2, None, None),
    ]


def test_attempts_are_numbered_for_each_order_also_after_a_retry() -> None:
    lines = steps((START, 1, 1, None), (REQUEUE, 1, 2, "a"), (RETRY, 1, 3, None), (START, 1, 4, None))
    lines += steps((START, 2, 1, None), (FINISH, 2, 2, None))
    _, attempts = derive_orders(merge_rows(ORDER_STEPS, [read_events(b"".join(lines), ORDER_STEPS)]))

    assert attempts["attempt"].to_pylist() == [1, 2, 1]


def test_lines_are_numbered_within_their_purchase_and_have_its_status() -> None:
    one = purchase()["items"][0]
    several = purchase(2, status="cancelled", items=[{**one, "book_id": "x"}, {**one, "book_id": "y"}])
    lines = [make_purchase_row(change(found, 1), ()).line for found in (purchase(1), several, purchase(3, items=[]))]
    rows = derive_lines(merge_rows(PURCHASES, [read_events(b"".join(lines), PURCHASES)]))

    shown = [(row["purchase_id"], row["line"], row["book_id"], row["status"]) for row in rows.to_pylist()]
    assert shown == [("p1", 1, "b", "pending"), ("p2", 1, "x", "cancelled"), ("p2", 2, "y", "cancelled")]
    assert sum(rows["subtotal"].to_pylist()) == Decimal("116.91")
    assert derive_lines(merge_rows(PURCHASES, [read_events(b"", PURCHASES)])).num_rows == 0
