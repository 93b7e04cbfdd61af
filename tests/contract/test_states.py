"""What stores do with orders in each state is what the table of states permits, all of it and nothing else."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shared.domain.ids import OrderRange
from shared.domain.states import TRANSITIONS, State
from shared.stores.ports.orders import Done, Failure, HandBack, OrderStore, WorkStore
from tests.support.orders import accept, ids, request, ticket

NOW = 5_000_000
Operation = Callable[[OrderRange], Awaitable[Any]]


def operations(orders: OrderStore, work: WorkStore) -> Mapping[str, Operation]:
    """Everything that intake and workers can ask of a store about one order that is there."""
    return {
        "cancel": lambda order: orders.cancel(ids(order)[0]),
        "retry": lambda order: orders.retry(ids(order)[0]),
        "rescue": lambda order: orders.rescue([ticket(order)], poison=9),
        "give up": lambda order: orders.rescue([ticket(order)], poison=0),
        "begin": lambda order: work.advance("w1", tickets=[ticket(order)], now=NOW),
        "begin again": lambda order: work.advance("w1", tickets=[ticket(order, 2)], now=NOW),
        "finish": lambda order: work.advance("w1", done=[Done(order.first, 1, NOW)], now=NOW),
        "fail": lambda order: work.advance("w1", failures=[Failure(order.first, 1, NOW, "no", None)], now=NOW),
        "fail once": lambda order: work.advance("w1", failures=[Failure(order.first, 1, NOW, "no", NOW)], now=NOW),
        "hand back": lambda order: work.advance("w1", handed_back=[HandBack(order.first, 1)], now=NOW),
    }


PATHS = {
    State.QUEUED: (),
    State.RUNNING: ("begin",),
    State.DONE: ("begin", "finish"),
    State.FAILED: ("begin", "fail"),
    State.CANCELLED: ("cancel",),
}
"""How an order gets into each state."""


async def test_stores_make_the_transitions_of_the_table_and_no_others(orders: OrderStore, work: WorkStore) -> None:
    possible = operations(orders, work)
    accepted = (await accept(orders, *(request(str(number)) for number in range(len(State) * len(possible))))).orders
    places = iter(accepted.sequences)
    seen = set()
    for before, path in PATHS.items():
        for operation in possible.values():
            (order,) = accepted.select([next(places)])
            for step in path:
                await possible[step](order)
            stored = await orders.get(ids(order)[0])
            assert stored is not None
            assert stored.state is before
            await operation(order)
            stored = await orders.get(ids(order)[0])
            assert stored is not None
            if stored.state is not before:
                seen.add((before, stored.state))
    assert seen == {(step.source, step.target) for step in TRANSITIONS if step.source is not None}
