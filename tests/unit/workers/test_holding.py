"""What a worker holds."""

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import OrderRange
from shared.domain.orders import Priority
from shared.stores.ports.orders import Ticket
from workers.held_tickets import Holding


def ticket(first: int, count: int) -> Ticket:
    return Ticket(OrderRange(1, 2, first, count), 1, Priority.NORMAL, 0, 0)


def held(holding: Holding) -> set[int]:
    return {sequence for entry in holding.tickets() for sequence in entry.orders.sequences}


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=6),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 8)), max_size=12),
)
def test_holding_is_the_set_of_what_was_given_and_not_settled(
    given_ranges: list[tuple[int, int]], settled: list[tuple[int, int]]
) -> None:
    holding, model, start = Holding(), set[int](), 0
    for gap, count in given_ranges:
        start += gap
        holding.add(ticket(start, count))
        model |= set(range(start, start + count))
        start += count
    for first, count in settled:
        gone = model & set(range(first, first + count))
        assert holding.remove(OrderRange(1, 2, first, count)) == len(gone)
        model -= gone
        assert held(holding) == model
        assert holding.orders == len(model)
        assert all((holding.find(sequence) is not None) == (sequence in model) for sequence in range(60))
