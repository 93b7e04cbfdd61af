"""The order in which waiting orders are begun."""

import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import OrderRange
from shared.domain.orders import Priority
from workers.backlog import Backlog
from workers.entry_index import Waiting

SECOND = 1_000_000


def waiting(first: int, count: int = 1, *, at: int = 0, priority: Priority = Priority.NORMAL) -> Waiting:
    return Waiting(OrderRange(at * SECOND, 1, first, count), 0, priority, at * SECOND)


def sequences(taken: list[Waiting]) -> list[int]:
    return [sequence for entry in taken for sequence in entry.orders.sequences]


def test_first_in_first_out_within_a_level_and_runs_are_cut_to_the_limit() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, 10))
    backlog.put(waiting(11, 5))
    assert sequences(backlog.take(4, now=0)) == [1, 2, 3, 4]
    assert sequences(backlog.take(8, now=0)) == [5, 6, 7, 8, 9, 10, 11, 12]
    assert len(backlog) == 3


def test_urgent_orders_pass_others_that_have_not_waited_long() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, at=100, priority=Priority.LOW))
    backlog.put(waiting(2, at=101))
    backlog.put(waiting(3, at=102, priority=Priority.HIGH))
    assert sequences(backlog.take(3, now=103 * SECOND)) == [3, 2, 1]


def test_low_order_is_passed_for_a_bounded_time_only() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, at=0, priority=Priority.LOW))
    backlog.put(waiting(2, at=59, priority=Priority.HIGH))
    backlog.put(waiting(3, at=61, priority=Priority.HIGH))
    assert sequences(backlog.take(3, now=61 * SECOND)) == [2, 1, 3]


def test_delayed_orders_wait_for_their_time() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1), due=10)
    backlog.put(waiting(2), due=5)
    assert backlog.take(5, now=4) == []
    assert len(backlog) == 2
    assert backlog.next_due() == 5
    assert sequences(backlog.take(5, now=10)) == [2, 1]
    assert backlog.next_due() is None


def test_order_that_is_put_back_has_its_turn_again() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(5, at=2))
    backlog.put(waiting(1, at=1))
    backlog.put(waiting(2, at=1), due=SECOND + 1)
    assert sequences(backlog.take(3, now=3 * SECOND)) == [1, 2, 5]


def test_order_for_later_waits_from_then_on() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, at=0, priority=Priority.LOW), due=100 * SECOND)
    backlog.put(waiting(2, at=101, priority=Priority.HIGH))
    assert sequences(backlog.take(2, now=101 * SECOND)) == [2, 1]


def test_find_tells_what_holds_an_order() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, 3))
    backlog.put(waiting(10), due=7)
    assert backlog.find(3) == waiting(1, 3)
    assert backlog.find(10) == waiting(10)
    assert backlog.find(4) is None


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(Priority), st.none() | st.integers(0, 50)), max_size=10),
    st.integers(1, 7),
)
def test_every_order_comes_out_once(entries: list[tuple[int, Priority, int | None]], limit: int) -> None:
    backlog = Backlog(30)
    first = 1
    for count, priority, due in entries:
        backlog.put(waiting(first, count, priority=priority), due=due)
        first += count
    out: list[int] = []
    while taken := sequences(backlog.take(limit, now=50)):
        assert len(taken) <= limit
        out += taken
    assert sorted(out) == list(range(1, first))
    assert len(backlog) == 0


def test_order_is_found_among_many_delayed_ones_without_a_scan() -> None:
    backlog = Backlog(30)
    for first in range(1, 20_001):
        backlog.put(waiting(first), due=2**50 + first)
    began = time.process_time()
    for first in range(1, 20_001, 4):
        assert backlog.find(first) == waiting(first)
    # It takes 0.05 s; looking at all of them takes 4 s.
    assert time.process_time() - began < 1.0


def test_cancelled_order_of_a_far_day_leaves_nothing_in_memory() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1), due=2**50)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for first in range(2, 5_002):
            backlog.put(waiting(first), due=2**50 + first)
        full = tracemalloc.get_traced_memory()[0] - before
        for first in range(2, 5_002):
            assert backlog.remove(first)
        assert tracemalloc.get_traced_memory()[0] - before < full / 10
    finally:
        tracemalloc.stop()
    assert len(backlog) == 1
    assert backlog.next_due() == 2**50


def test_removed_order_is_not_begun_and_its_neighbours_are() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, 200))
    backlog.put(waiting(300, 3), due=7)
    assert sequences(backlog.take(100, now=0)) == list(range(1, 101))
    assert backlog.remove(150)
    assert backlog.remove(301)
    assert not backlog.remove(150)
    assert not backlog.remove(50)
    assert len(backlog) == 101
    assert backlog.find(149) == waiting(101, 49)
    assert backlog.find(151) == waiting(151, 50)
    assert sequences(backlog.take(200, now=7)) == [*range(101, 150), *range(151, 201), 300, 302]
    assert backlog.next_due() is None


def test_order_that_is_put_back_beside_the_rest_of_its_run_is_found() -> None:
    backlog = Backlog(30)
    backlog.put(waiting(1, 10))
    assert sequences(backlog.take(4, now=0)) == [1, 2, 3, 4]
    backlog.put(waiting(1))
    assert backlog.find(1) == waiting(1)
    assert backlog.find(5) == waiting(5, 6)
    assert sequences(backlog.take(10, now=0)) == [1, 5, 6, 7, 8, 9, 10]
    assert backlog.find(1) is None


@given(st.lists(st.tuples(st.sampled_from(["put", "delay", "take", "remove"]), st.integers(1, 150)), max_size=60))
def test_what_waits_is_found_and_what_was_taken_or_removed_is_not(steps: list[tuple[str, int]]) -> None:
    backlog = Backlog(30)
    here: set[int] = set()
    out: list[int] = []
    first = 1
    for step, number in steps:
        if step in ("put", "delay"):
            backlog.put(waiting(first, number), due=first % 90 if step == "delay" else None)
            here.update(range(first, first + number))
            first += number
        elif step == "take":
            taken = sequences(backlog.take(number, now=number))
            assert here.issuperset(taken)
            here.difference_update(taken)
            out += taken
        else:
            sequence = first * number // 151
            assert backlog.remove(sequence) == (sequence in here)
            here.discard(sequence)
    assert len(backlog) == len(here)
    assert {sequence for sequence in range(first) if backlog.find(sequence) is not None} == here
    assert sorted(sequences(backlog.take(10_000, now=100))) == sorted(here)
    assert len(out) == len(set(out))
