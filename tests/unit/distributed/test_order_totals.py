"""Statistics of orders."""

import sqlite3

import pytest

from services.distributed.order_totals import OrderTotals
from shared.domain.ids import OrderRange
from shared.domain.states import ACCEPT
from shared.stores.ports.feeds import OrderStateChange


def accepted(**products: tuple[int, int]) -> OrderStateChange:
    return OrderStateChange(ACCEPT, 1, [OrderRange(1, 1, 1, 1)], ["Ana"], products=products)


def test_spellings_of_a_product_are_one_row_that_shows_the_first(connection: sqlite3.Connection) -> None:
    totals = OrderTotals(connection, max_products=100)
    totals.count_events([accepted(Café=(2, 5), pan=(1, 1))])
    totals.count_events([OrderStateChange(ACCEPT, 1, [], [], products={"CAFE\u0301 ": (1, 2)})])
    assert totals.describe()["otros_productos"] == {"productos": 0, "pedidos": 0, "unidades": 0}
    assert totals.describe()["productos"] == [
        {"producto": "Café", "pedidos": 3, "unidades": 7},
        {"producto": "pan", "pedidos": 1, "unidades": 1},
    ]


def test_rows_from_before_are_folded_once(connection: sqlite3.Connection) -> None:
    rows = [("Café", 2, 5), ("CAFÉ", 1, 2), ("pan", 1, 1)]
    connection.executemany("INSERT INTO products (name, orders, units) VALUES (?, ?, ?)", rows)
    totals = OrderTotals(connection, max_products=100)
    totals.fold_products()
    totals.fold_products()
    found = {row["producto"].casefold(): row for row in totals.describe()["productos"]}
    assert (found["café"]["pedidos"], found["café"]["unidades"], len(found)) == (3, 7, 2)


def test_products_in_the_fewest_orders_are_counted_together_when_there_are_too_many(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.distributed.order_totals._FOLDED_AT_ONCE", 3)
    totals = OrderTotals(connection, max_products=10)
    totals.count_events([accepted(**{f"p{number}": (number, 2 * number) for number in range(1, 11)})])
    assert not totals.delete_expired()
    assert len(totals.describe()["productos"]) == 10
    totals.count_events([accepted(**{f"q{number}": (1, 1) for number in range(5)})])
    turns = 1
    while totals.delete_expired():
        turns += 1
    # Five too many, and a tenth of the bound besides.
    assert turns == 2
    view = totals.describe()
    assert [row["producto"] for row in view["productos"]] == [f"p{number}" for number in range(10, 1, -1)]
    assert view["otros_productos"] == {"productos": 6, "pedidos": 6, "unidades": 7}
    totals.reset()
    assert totals.describe()["otros_productos"] == {"productos": 0, "pedidos": 0, "unidades": 0}
