"""The answers to accepted orders."""

import json

import pytest

from services.intake.answers import accepted_texts
from shared.domain.ids import OrderRange, id_prefix
from shared.stores.ports.orders import Acceptance

AHEAD, PLACES = 20, 8


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1600])
@pytest.mark.parametrize("per_order_ms", [0.0, 0.006, 0.05, 3.2, 60.0])
def test_each_order_has_its_id_its_position_and_its_wait(count: int, per_order_ms: float) -> None:
    orders = OrderRange(1_700_000_000_000_000, 5, 1000, count)
    acceptance = Acceptance(orders, range(count), {})
    texts = accepted_texts(acceptance, ahead=AHEAD, places=PLACES, per_order_ms=per_order_ms)
    answers = [json.loads(text) for text in texts]
    prefix = id_prefix(orders.received, orders.node)
    assert [answer["id"] for answer in answers] == [f"{prefix}{1000 + index:012x}" for index in range(count)]
    assert [answer["posicion"] for answer in answers] == list(range(AHEAD + 1, AHEAD + count + 1))
    for index, answer in enumerate(answers):
        assert answer["espera_ms"] == pytest.approx((AHEAD + index - PLACES) * per_order_ms, abs=26)
