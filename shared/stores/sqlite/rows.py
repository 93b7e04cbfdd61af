"""Conversion of joined rows of the two files to the domain's types."""

from typing import Any

import msgspec

from shared.domain.ids import id_prefix
from shared.domain.orders import Order, OrderRequest
from shared.stores.orders import QUEUED, STATES

ORDER_COLUMNS = f"""
o.sequence, o.received, o.document, coalesce(p.state, {QUEUED}), coalesce(p.attempt, 0), p.worker,
p.stored, p.queued, p.started, p.finished, p.detail"""
"""The columns for `OrderReader.read_order`; `o` is orders, `p` is progress."""

JOINED = "orders o LEFT JOIN progress.progress p ON p.sequence = o.sequence"

OPEN_COLUMNS = """
o.sequence, o.received, o.priority, coalesce(p.due, o.due), coalesce(p.attempt, 0), coalesce(p.rescues, 0)"""
"""The columns of an `OpenOrder`."""


class OrderReader:
    """Converts rows to orders; `node` is the store's name in ids."""

    def __init__(self, node: int) -> None:
        self._node = node
        self._decode = msgspec.json.Decoder(OrderRequest).decode

    def read_order(self, row: tuple[Any, ...]) -> Order:
        """Returns the order of a row with ORDER_COLUMNS."""
        sequence, received, document, state, attempt, worker, stored, queued, started, finished, detail = row
        return Order(
            id=f"{id_prefix(received, self._node)}{sequence:012x}",
            state=STATES[state],
            request=self._decode(document),
            received=received,
            stored=stored,
            queued=queued,
            started=started,
            finished=finished,
            attempt=attempt,
            worker=worker,
            detail=detail,
        )
