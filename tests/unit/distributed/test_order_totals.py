"""Statistics of orders."""

import sqlite3

from services.distributed.order_totals import OrderTotals
from shared.domain.ids import Run
from shared.domain.states import State
from shared.stores.events import Happened


def accepted(**products: tuple[int, int]) -> Happened:
    return Happened("order.accepted", None, State.QUEUED, 1, [Run(1, 1, 1, 1)], ["Ana"], products=products)


def test_spellings_of_a_product_are_one_row_that_shows_the_first(connection: sqlite3.Connection) -> None:
    totals = OrderTotals(connection)
    totals.apply([accepted(Café=(2, 5), pan=(1, 1))])
    totals.apply([Happened("order.accepted", None, State.QUEUED, 1, [], [], products={"CAFE\u0301 ": (1, 2)})])
    assert totals.view()["productos"] == [
        {"producto": "Café", "pedidos": 3, "unidades": 7},
        {"producto": "pan", "pedidos": 1, "unidades": 1},
    ]


def test_rows_from_before_are_folded_once(connection: sqlite3.Connection) -> None:
    rows = [("Café", 2, 5), ("CAFÉ", 1, 2), ("pan", 1, 1)]
    connection.executemany("INSERT INTO products (name, orders, units) VALUES (?, ?, ?)", rows)
    totals = OrderTotals(connection)
    totals.fold_products()
    totals.fold_products()
    found = {row["producto"].casefold(): row for row in totals.view()["productos"]}
    assert (found["café"]["pedidos"], found["café"]["unidades"], len(found)) == (3, 7, 2)
