"""Orders that are reserved by counting: in which transactions, and just as order by order would have it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inventory import batches, decisions
from services.inventory.batches import BatchPlan, find_unstocked, plan_batch
from services.inventory.decisions import decide_orders
from services.inventory.grants import build_release, read_grants, read_stores, sum_quantities
from shared.domain.records import MAX_ACTIONS, Condition, Update
from shared.domain.tables import RESERVATIONS, STOCK
from tests.unit.inventory.orders import NOW, Counts, Records, job, taken, updates
from workers.handlers import Job


def held(batch: BatchPlan) -> dict[int, dict[str, str]]:
    """From where each order has what it names."""
    found: dict[int, dict[str, str]] = {}
    for transaction in batch.transactions:
        products = {job.id: sum_quantities(job.request.items).keys() for job in transaction.jobs}
        for one in updates(transaction.actions, RESERVATIONS.name):
            for order_id, grant in read_grants({**one.key, **one.set}).items():
                stores = read_stores(grant.held.stores)
                found[int(order_id[-12:], 16)] = {name: stores[name] for name in stores if name in products[order_id]}
    return found


def test_only_orders_with_stocked_products_are_touched() -> None:
    stores: Counts = {"pan": {"A": 9}, "agua": {}}
    batch = plan_batch([job(1, "x", "agua"), job(2, "pan", {"producto": "pan", "cantidad": 4}, "y")], stores)
    assert held(batch) == {2: {"pan": "A"}}
    (transaction,) = batch.transactions
    assert (taken(transaction.actions), transaction.taken, batch.rest) == ({("A", "pan"): 5}, [("A", "pan")], [])
    assert plan_batch([job(1, "x", "agua")], stores) == BatchPlan([], [])
    assert plan_batch([job(1, "x", "agua")], {}) == BatchPlan([], [])


def test_spellings_of_a_name_are_one_product() -> None:
    stores: Counts = {"caf\u00e9": {"A": 9}, "pan": {"A": 9}}
    spelled = ["Cafe\u0301", "CAF\u00c9", "caf\u00e9\u00a0", {"producto": "\u200bCaf\u00e9", "cantidad": 2}]
    jobs = [*(job(number, product) for number, product in enumerate(spelled)), job(4, *spelled[:2], "PAN"), job(5, "x")]
    batch = plan_batch(jobs, stores)
    assert held(batch) == {**{number: {"caf\u00e9": "A"} for number in range(4)}, 4: {"caf\u00e9": "A", "pan": "A"}}
    (transaction,) = batch.transactions
    assert taken(transaction.actions) == {("A", "caf\u00e9"): 7, ("A", "pan"): 1}
    (coffee, bread) = updates(transaction.actions, STOCK.name)
    assert (coffee.set["orders"], coffee.set["reference"], bread.set["orders"]) == (5, jobs[0].id, 1)


def test_orders_that_name_what_is_not_stocked_are_told() -> None:
    stores: Counts = {"pan": {"A": 0}, "agua": {}}
    jobs = [job(1, "PAN"), job(2, "pan", "Agua", "Leche", "agua"), job(3, *(f"x{number}" for number in range(8)))]
    assert find_unstocked(jobs, stores) == {
        jobs[1].id: "not stocked: Agua, Leche",
        jobs[2].id: "not stocked: x0, x1, x2, x3, x4 and 3 more",
    }
    assert find_unstocked(jobs[:1], stores) == {}


def test_orders_share_an_update_that_names_the_first_of_those_that_have_the_product() -> None:
    stores: Counts = {"pan": {"A": 99}, "agua": {"A": 9}}
    jobs = [
        job(0, "agua", "agua"),
        *(job(number, "pan", "pan", {"producto": "pan", "cantidad": 2}) for number in range(1, 5)),
    ]
    (transaction,) = plan_batch(jobs, stores).transactions
    found = {one.key["item"]: one for one in updates(transaction.actions, STOCK.name)}
    assert (found["pan"].add, found["pan"].set["reference"], found["pan"].set["orders"]) == (
        {"count": -16},
        jobs[1].id,
        4,
    )
    assert (found["agua"].add, found["agua"].set["reference"], found["agua"].set["orders"]) == (
        {"count": -2},
        jobs[0].id,
        1,
    )
    for one in found.values():
        assert one.when == Condition(at_least={"count": -one.add["count"]})
        assert one.set["cause"] == "order"


def test_who_may_be_short_of_something_or_was_begun_before_is_left_to_be_decided() -> None:
    stores: Counts = {"pan": {"A": 1, "B": 9}, "agua": {"A": 9}}
    jobs = [job(1, "pan"), job(2, "agua"), job(3, "agua", "pan"), job(4, "agua", attempt=2), job(5, "x", attempt=2)]
    batch = plan_batch(jobs, stores)
    assert held(batch) == {2: {"agua": "A"}}
    assert [int(one.id[-2:], 16) for one in batch.rest] == [1, 3, 4, 5]


def test_store_that_has_nothing_left_is_passed_over() -> None:
    batch = plan_batch([job(1, "pan"), job(2, "pan")], {"pan": {"A": 0, "B": 2, "C": 9}})
    assert (held(batch), batch.rest) == ({1: {"pan": "B"}, 2: {"pan": "B"}}, [])


@pytest.mark.parametrize("numbers", [range(300), [7], [*range(0, 300, 3)], [5, 4, 600, 3, 256, 255]])
def test_orders_are_found_in_their_blocks_however_they_come(numbers: Sequence[int]) -> None:
    batch = plan_batch([job(number, "pan") for number in numbers], {"pan": {"A": 999}})
    assert sorted(held(batch)) == sorted(numbers)


def test_orders_of_many_products_are_cut_into_transactions_that_fit_and_none_is_lost() -> None:
    stores: Counts = {f"p{number}": {"A": 1000} for number in range(300)}
    jobs = [job(number, *(f"p{(number * 7 + k) % 300}" for k in range(7))) for number in range(3000)]
    batch = plan_batch(jobs, stores)
    found = held(batch)
    assert found == {number: dict.fromkeys(one.request.items, "A") for number, one in enumerate(jobs)}
    for transaction in batch.transactions:
        assert len(transaction.actions) <= MAX_ACTIONS
        for one in updates(transaction.actions, STOCK.name):
            takers = [job.id for job in transaction.jobs if one.key["item"] in job.request.items]
            assert (one.set["reference"], one.set["orders"], one.add["count"]) == (
                min(takers),
                len(takers),
                -len(takers),
            )
    assert sum(len(transaction.jobs) for transaction in batch.transactions) == 3000
    assert (len(batch.transactions) > 3, batch.rest) == (True, [])


@pytest.mark.parametrize(("number", "length"), [(100, 5), (60, 99)])
def test_order_that_no_transaction_can_hold_is_left_to_be_refused(number: int, length: int) -> None:
    names = [f"{n:0{length}}" for n in range(number)]
    stores: Counts = {name: {"A": 9} for name in names}
    batch = plan_batch([job(1, *names), job(2, names[0])], stores)
    assert (held(batch), batch.rest) == ({2: {names[0]: "A"}}, [job(1, *names)])


# As order by order would have it.

NAMES = ["a", "b", "c", "d", "e"]
PRODUCTS = st.sampled_from(NAMES) | st.builds(
    lambda name, quantity: {"producto": name, "cantidad": quantity}, st.sampled_from(NAMES), st.integers(1, 3)
)
COUNTS = st.dictionaries(
    st.sampled_from(NAMES[:4]), st.dictionaries(st.sampled_from(["A", "B"]), st.integers(0, 40), min_size=1)
)
ORDERS = st.dictionaries(st.integers(0, 2000), st.lists(PRODUCTS, min_size=1, max_size=5), max_size=30)


def reserve(records: Records, jobs: Sequence[Job], known: Counts, limit: int) -> dict[str, str]:
    """What is refused, and why, where `known` is what was known of the counts before."""
    batch = plan_batch(jobs, known)
    for transaction in batch.transactions:
        assert len(transaction.actions) <= limit
        records.transact(transaction.actions)
    refused: dict[str, str] = {}
    rest: Sequence[Job] = batch.rest
    while rest:
        decision = decide_orders(rest, records.blocks(rest), records.counts(), ())
        assert decision.orders
        assert len(decision.actions) <= limit
        records.transact(decision.actions)
        refused |= {order_id: str(reason) for order_id, reason in decision.refused.items()}
        rest = rest[decision.orders :]
    return refused


def order_by_order(jobs: Sequence[Job], counts: Counts) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """From where each order has what, and what is refused and why; takes it from the counts."""
    found: dict[str, dict[str, str]] = {}
    refused: dict[str, str] = {}
    for one in jobs:
        wanted = {name: count for name, count in sum_quantities(one.request.items).items() if counts.get(name)}
        stores: dict[str, str] = {}
        for name, count in wanted.items():
            enough = [store for store, left in counts[name].items() if left >= count]
            if not enough:
                left = max(counts[name].values())
                told = f"no store has more than {left} left" if left and len(counts[name]) > 1 else f"{left} left"
                refused[one.id] = f"out of stock: {name}: {count} asked for, {told}"
                break
            stores[name] = enough[0]
        else:
            for name, store in stores.items():
                counts[name][store] -= wanted[name]
            if wanted:
                found[one.id] = stores
    return found, refused


@settings(max_examples=100, deadline=None)
@given(counts=COUNTS, orders=ORDERS, actions=st.sampled_from([MAX_ACTIONS, 9]))
def test_batch_is_reserved_as_order_by_order_and_once_and_can_be_given_back(
    counts: Counts, orders: dict[int, list[Any]], actions: int
) -> None:
    counts = {name: dict(sorted(stores.items())) for name, stores in counts.items()}
    jobs = [job(number, *products) for number, products in orders.items()]
    records = Records(counts)
    expected = {name: dict(stores) for name, stores in counts.items()}
    found, refused = order_by_order(jobs, expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "MAX_ACTIONS", actions)
        patch.setattr(decisions, "MAX_ACTIONS", actions)
        patch.setattr(batches, "_BLOCKS_TOGETHER", 3)
        # The next attempt finds what the first has done, and comes to the same.
        for attempt in (1, 2):
            again = [Job(one.id, attempt, one.request) for one in jobs]
            answers = reserve(records, again, {name: dict(stores) for name, stores in counts.items()}, actions)
            assert answers == refused if attempt == 1 else answers.keys() == refused.keys()
            assert records.counts() == expected
            holders = records.held()
            assert holders.keys() == found.keys()
            assert {grant.held.attempt for grant in holders.values()} <= {attempt}
            for order_id, stores in found.items():
                assert stores.items() <= read_stores(holders[order_id].held.stores).items()
    products = {one.id: sum_quantities(one.request.items) for one in jobs}
    for order_id, grant in records.held().items():
        back = [
            Update(STOCK.name, {"store": store, "item": name}, add={"count": products[order_id][name]})
            for name, store in read_stores(grant.held.stores).items()
            if name in products[order_id]
        ]
        records.transact([*back, build_release(order_id, grant, NOW)])
    assert (records.counts(), records.held()) == (counts, {})
