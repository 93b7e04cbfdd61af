"""What is taken for whom, and in which transactions; pure planning."""

from typing import Any

import msgspec
import pytest

from services.inventory.reservations import (
    MAX_LINES,
    Held,
    Line,
    Part,
    Wanted,
    held_text,
    holders,
    place_of,
    plan,
    read_held,
    wanted,
)
from shared.domain.ids import id_prefix
from shared.domain.orders import OrderRequest
from shared.domain.records import MAX_ACTIONS, Condition, Update
from workers.handlers import Job

PREFIX = id_prefix(1_700_000_000_000_000, 5)

Stores = dict[str, dict[str, int]]


def job(number: int, *products: Any, attempt: int = 1) -> Job:
    members = {"cliente": "a", "productos": list(products), "direccion": "d"}
    return Job(f"{PREFIX}{number:012x}", attempt, msgspec.convert(members, OrderRequest))


def checked(stores: Stores, *jobs: Job) -> list[Wanted]:
    orders = wanted(jobs, stores)
    for order in orders:
        order.checked = True
    return orders


def updates(part: Part, table: str) -> list[Update]:
    return [action for action in part.actions if isinstance(action, Update) and action.table == table]


def taken(part: Part) -> dict[tuple[str, str], int]:
    return {(one.key["store"], one.key["item"]): -one.add["count"] for one in updates(part, "Stock")}


def held(part: Part) -> dict[int, list[Line]]:
    return {
        int(order_id[-12:], 16): list(read_held(text).lines)
        for one in updates(part, "StockReservations")
        for order_id, text in holders({**one.key, **one.set}).items()
    }


def test_neighbours_share_an_item_and_each_has_a_member() -> None:
    ids = [f"{PREFIX}{number:012x}" for number in range(1000, 1000 + 1000)]
    places: dict[str, dict[str, str]] = {}
    for order_id in ids:
        place, member = place_of(order_id)
        places.setdefault(place, {})[member] = order_id
    assert sum(map(len, places.values())) == len(ids)
    assert sorted(len(members) for members in places.values()) == [16, 24, *[64] * 15]
    for place, members in places.items():
        item = {"id": place, "at": "2026-01-01T00:00:00.000000Z", **members}
        assert holders(item) == {order_id: order_id for order_id in members.values()}


def test_what_is_held_is_read_as_it_was_written() -> None:
    lines = [Line("Berlin", "Echo Dot", 2), Line("Ávila ☂", 'a "b" \t c', 1)]
    assert read_held(held_text(7, lines)) == Held(7, lines)
    assert read_held(held_text(1, [])) == Held(1, [])


def test_only_orders_with_stocked_products_are_touched_and_products_are_summed_up() -> None:
    stores: Stores = {"pan": {"A": 0}, "agua": {}}
    orders = wanted([job(1, "x", "agua"), job(2, "pan", {"producto": "pan", "cantidad": 4}, "y")], stores)
    assert [(order.job.id[-1], order.quantities) for order in orders] == [("2", {"pan": 5})]


def test_each_line_is_taken_whole_from_the_first_store_that_has_enough() -> None:
    stores: Stores = {"pan": {"A": 1, "B": 5}, "agua": {"B": 1, "C": 9}}
    part = plan(checked(stores, job(1, {"producto": "pan", "cantidad": 3}, "agua"), job(2, "pan", "agua")), stores)
    assert held(part) == {
        1: [Line("B", "pan", 3), Line("B", "agua", 1)],
        2: [Line("A", "pan", 1), Line("C", "agua", 1)],
    }
    assert taken(part) == {("B", "pan"): 3, ("B", "agua"): 1, ("A", "pan"): 1, ("C", "agua"): 1}
    assert part.taken == list(taken(part))
    for one in updates(part, "Stock"):
        assert one.when == Condition(at_least={"count": -one.add["count"]})
        assert one.set["cause"] == "order"


def test_orders_share_an_update_that_names_the_first_of_them() -> None:
    stores: Stores = {"pan": {"A": 9}}
    jobs = [job(number, "pan") for number in range(5)]
    (stock,) = updates(plan(checked(stores, *jobs), stores), "Stock")
    assert (stock.add, stock.set["reference"], stock.set["orders"]) == ({"count": -5}, jobs[0].id, 5)


def test_who_comes_first_gets_the_last_one_and_nothing_of_a_refused_order_is_taken() -> None:
    stores: Stores = {"pan": {"A": 2, "B": 1}, "agua": {"A": 9}}
    part = plan(
        checked(stores, job(1, "pan"), job(2, "agua", {"producto": "pan", "cantidad": 2}), job(3, "pan")), stores
    )
    assert held(part) == {1: [Line("A", "pan", 1)], 3: [Line("A", "pan", 1)]}
    assert {order_id[-1]: str(reason) for order_id, reason in part.refused.items()} == {
        "2": "out of stock: pan: 2 asked for, 1 left"
    }
    assert part.orders == 3


def test_shortage_is_not_decided_on_what_was_not_read() -> None:
    stores: Stores = {"pan": {"A": 1}}
    first, second = wanted([job(1, "pan"), job(2, "pan")], stores)
    part = plan([first, second], stores)
    assert (part.unclear, part.refused) == ([second], {})


def test_order_that_holds_something_takes_nothing_more_and_is_confirmed() -> None:
    stores: Stores = {"pan": {"A": 0}}
    (order,) = checked(stores, job(1, "pan", attempt=3))
    order.held = held_text(1, [Line("Z", "pan", 1)])
    part = plan([order], stores)
    (confirmed,) = updates(part, "StockReservations")
    member = place_of(order.job.id)[1]
    assert len(part.actions) == 1
    assert read_held(confirmed.set[member]) == Held(3, [Line("Z", "pan", 1)])
    assert confirmed.when == Condition(equal={member: order.held})


def test_part_ends_where_a_transaction_is_full_and_loses_no_order() -> None:
    stores: Stores = {f"p{number}": {"A": 1000} for number in range(300)}
    orders = checked(stores, *[job(number, *(f"p{(number + k) % 300}" for k in range(7))) for number in range(300)])
    done: dict[int, list[Line]] = {}
    parts = 0
    while orders:
        part = plan(orders, stores)
        assert part.orders > 0
        assert MAX_ACTIONS - 8 < len(part.actions) <= MAX_ACTIONS or part.orders == len(orders)
        done |= held(part)
        orders = orders[part.orders :]
        parts += 1
    assert sorted(done) == list(range(300))
    assert parts > 1


@pytest.mark.parametrize(
    ("number", "length", "fits"), [(MAX_LINES, 5, True), (MAX_LINES + 1, 5, False), (60, 99, False)]
)
def test_order_that_no_transaction_can_hold_is_refused(number: int, length: int, fits: bool) -> None:
    names = [f"{n:0{length}}" for n in range(number)]
    stores: Stores = {name: {"A": 1} for name in names}
    part = plan(checked(stores, job(1, *names), job(2, names[0])), stores)
    assert (1 in held(part)) is fits
    if not fits:
        assert "order them in parts" in str(next(iter(part.refused.values())))
        assert held(part) == {2: [Line("A", names[0], 1)]}
