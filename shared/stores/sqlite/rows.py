"""Rows of the two files, read together, as the domain's types."""

from collections.abc import Iterable
from typing import Any

import msgspec

from shared.domain.ids import Run, id_prefix
from shared.domain.orders import Order, OrderRequest, Priority
from shared.stores.ports import Open
from shared.stores.sqlite.files import QUEUED, STATES

ORDER_COLUMNS = f"""
o.sequence, o.received, o.document, coalesce(p.state, {QUEUED}), coalesce(p.attempt, 0), p.worker,
p.stored, p.queued, p.started, p.finished, p.detail"""
"""What `OrderReader.order` reads; `o` is orders, `p` is progress."""

JOINED = "orders o LEFT JOIN progress.progress p ON p.sequence = o.sequence"

OPEN_COLUMNS = """
o.sequence, o.received, o.priority, coalesce(p.due, o.due), coalesce(p.attempt, 0), coalesce(p.rescues, 0)"""
"""What `group_open` reads."""


class OrderReader:
    """Makes orders of rows; `node` is the store's own name in ids."""

    def __init__(self, node: int) -> None:
        self._node = node
        self._decode = msgspec.json.Decoder(OrderRequest).decode

    def order(self, row: tuple[Any, ...]) -> Order:
        """The order of a row of ORDER_COLUMNS."""
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


def group_open(rows: Iterable[tuple[Any, ...]], node: int) -> list[Open]:
    """Rows of OPEN_COLUMNS in ascending order, as runs of orders that are alike."""
    groups: list[Open] = []
    alike: tuple[Any, ...] | None = None
    first = count = 0

    def close_group() -> None:
        if alike is not None:
            received, priority, due, attempt, rescues = alike
            level = Priority.NORMAL if priority is None else Priority(priority)
            groups.append(Open(Run(received, node, first, count), attempt, level, due, rescues))

    for sequence, *rest in rows:
        if alike == tuple(rest) and sequence == first + count:
            count += 1
            continue
        close_group()
        alike, first, count = tuple(rest), sequence, 1
    close_group()
    return groups
