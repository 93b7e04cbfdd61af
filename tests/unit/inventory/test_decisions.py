"""Orders that are decided one by one."""

import pytest

from services.inventory.decisions import MAX_LINES, Decision, decide_orders
from services.inventory.grants import HeldStock, read_grants, read_stores, sum_quantities
from shared.domain.records import MAX_ACTIONS, Condition
from shared.domain.tables import RESERVATIONS, STOCK
from tests.unit.inventory.orders import Counts, Records, job, taken, updates


def held(decision: Decision) -> dict[int, dict[str, str]]:
    """From where each order has what."""
    return {
        int(order_id[-12:], 16): read_stores(found.held.stores)
        for one in updates(decision.actions, RESERVATIONS.name)
        for order_id, found in read_grants({**one.key, **one.set}).items()
    }


def test_each_product_is_taken_whole_from_the_first_store_that_has_enough() -> None:
    stores: Counts = {"pan": {"A": 1, "B": 5}, "agua": {"B": 1, "C": 9}}
    jobs = [job(1, {"producto": "pan", "cantidad": 3}, "agua"), job(2, "pan", "agua")]
    decision = decide_orders(jobs, Records({}).blocks(jobs), stores, ())
    assert held(decision) == {1: {"pan": "B", "agua": "B"}, 2: {"pan": "A", "agua": "C"}}
    assert taken(decision.actions) == {("B", "pan"): 3, ("B", "agua"): 1, ("A", "pan"): 1, ("C", "agua"): 1}
    assert decision.taken == list(taken(decision.actions))
    for one in updates(decision.actions, STOCK.name):
        assert one.when == Condition(at_least={"count": -one.add["count"]})


def test_who_comes_first_gets_the_last_one_and_nothing_of_a_refused_order_is_taken() -> None:
    stores: Counts = {"pan": {"A": 2, "B": 1}, "agua": {"A": 9}}
    jobs = [job(1, "pan"), job(2, "agua", {"producto": "pan", "cantidad": 2}), job(3, "pan"), job(4, "x")]
    decision = decide_orders(jobs, Records({}).blocks(jobs), stores, ())
    assert held(decision) == {1: {"pan": "A"}, 3: {"pan": "A"}}
    assert {order_id[-1]: str(reason) for order_id, reason in decision.refused.items()} == {
        "2": "out of stock: pan: 2 asked for, no store has more than 1 left"
    }
    assert decision.orders == 4


def test_spellings_of_a_name_are_one_product_and_a_refusal_has_it_as_it_was_sent() -> None:
    stores: Counts = {"caf\u00e9": {"A": 3}}
    jobs = [job(1, "Cafe\u0301", {"producto": "CAF\u00c9 ", "cantidad": 2}), job(2, "Caf\u00e9")]
    decision = decide_orders(jobs, Records({}).blocks(jobs), stores, ())
    assert taken(decision.actions) == {("A", "caf\u00e9"): 3}
    assert [str(reason) for reason in decision.refused.values()] == ["out of stock: Caf\u00e9: 1 asked for, 0 left"]


def test_order_that_holds_something_takes_nothing_more_and_is_confirmed() -> None:
    jobs = [job(1, "pan", attempt=3), job(2, "pan", attempt=1)]
    blocks = Records({}).blocks(jobs)
    (block,) = blocks.values()
    block.held |= {jobs[0].id: HeldStock(1, "Z\tpan"), jobs[1].id: HeldStock(1, "Z\tpan")}
    decision = decide_orders(jobs, blocks, {"pan": {"A": 0}}, ())
    assert (len(decision.actions), decision.refused) == (1, {})
    assert block.held == {jobs[0].id: HeldStock(3, "Z\tpan"), jobs[1].id: HeldStock(1, "Z\tpan")}


@pytest.mark.parametrize(("attempt", "doubtful", "fenced"), [(1, False, False), (1, True, True), (2, False, True)])
def test_refusal_keeps_out_what_may_still_come_for_the_order(attempt: int, doubtful: bool, fenced: bool) -> None:
    one = job(1, "pan", attempt=attempt)
    decision = decide_orders([one], Records({}).blocks([one]), {"pan": {"A": 0}}, {one.id} if doubtful else ())
    assert decision.refused.keys() == {one.id}
    assert [update.set["fence"] for update in updates(decision.actions, RESERVATIONS.name)] == [True] * fenced


def test_decision_ends_where_a_transaction_is_full_and_loses_no_order() -> None:
    stores: Counts = {f"p{number}": {"A": 1000} for number in range(300)}
    jobs = [job(number, *(f"p{(number + k) % 300}" for k in range(7))) for number in range(300)]
    records, left, parts = Records(stores), jobs, 0
    while left:
        decision = decide_orders(left, records.blocks(left), stores, ())
        assert MAX_ACTIONS - 8 < len(decision.actions) <= MAX_ACTIONS or decision.orders == len(left)
        records.transact(decision.actions)
        left = left[decision.orders :]
        parts += 1
    assert parts > 1
    found = records.held()
    assert {one.id: sum_quantities(one.request.items).keys() for one in jobs} == {
        order_id: read_stores(grant.held.stores).keys() for order_id, grant in found.items()
    }


@pytest.mark.parametrize(
    ("number", "length", "fits"), [(MAX_LINES, 5, True), (MAX_LINES + 1, 5, False), (60, 100, False)]
)
def test_order_that_no_transaction_can_hold_is_refused(number: int, length: int, fits: bool) -> None:
    names = [f"{n:0{length}}" for n in range(number)]
    stores: Counts = {name: {"A": 2} for name in names}
    jobs = [job(1, *names), job(2, names[0])]
    decision = decide_orders(jobs[: 1 + (not fits)], Records({}).blocks(jobs), stores, ())
    assert (1 in held(decision)) is fits
    if not fits:
        assert "order them in parts" in str(decision.refused[jobs[0].id])
        assert held(decision) == {2: {names[0]: "A"}}
