"""Orders and tickets for tests of stores."""

from typing import Any

import msgspec

from shared.domain.ids import OrderRange
from shared.domain.orders import OrderRequest, Priority
from shared.stores.ports.orders import Acceptance, OrderBatch, OrderStore, Ticket
from shared.wire.orders import encode_orders

ORDER = {"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"}
"""An order as a client sends it."""


def request(customer: str = "Ana", **members: Any) -> OrderRequest:
    """An order with the given members, in the wire's names."""
    return msgspec.convert({"cliente": customer, "productos": ["pan"], "direccion": "Mayor 1", **members}, OrderRequest)


def batch(*requests: OrderRequest) -> OrderBatch:
    """A batch of orders."""
    documents = encode_orders(list(requests))
    plain = not any('"request_id"' in one or '"prioridad"' in one or '"no_antes_de"' in one for one in documents)
    return OrderBatch(requests, documents, plain)


async def accept(store: OrderStore, *requests: OrderRequest, at: int = 1_000_000, room: int = 1000) -> Acceptance:
    """Accepts orders in one commit."""
    return await store.accept(batch(*requests), received=at, room=room)


def ticket(order_range: OrderRange, attempt: int = 1) -> Ticket:
    """A ticket for a range."""
    return Ticket(order_range, attempt, Priority.NORMAL, order_range.received + 1000, order_range.received + 2000)


def ids(order_range: OrderRange) -> list[str]:
    """The ids of a range."""
    return list(order_range.ids())
