"""The connections that watch orders, and the events that they receive."""

from collections.abc import Iterable, Sequence

from shared.domain.ids import OrderRange
from shared.domain.orders import iso_time
from shared.domain.states import Transition
from shared.net.connection import Connection
from shared.net.fanout import Fanout
from shared.wire.replies import encode_json


class Watchers:
    """Connections that watch all orders or one; `unread_bytes` bounds what waits for each."""

    def __init__(self, unread_bytes: int) -> None:
        self._fanout = Fanout(unread_bytes)
        self._all: set[Connection] = set()
        self._one: dict[int, set[Connection]] = {}
        self._watched: dict[Connection, int] = {}
        """The order of each connection that watches one."""

    def add(self, connection: Connection, sequence: int | None) -> None:
        """The connection watches the order with this sequence, or all orders, and nothing else."""
        self.remove(connection)
        connection.observing = True
        if sequence is None:
            self._all.add(connection)
        else:
            self._one.setdefault(sequence, set()).add(connection)
            self._watched[connection] = sequence

    def remove(self, connection: Connection) -> None:
        """The connection watches nothing any more."""
        connection.observing = False
        self._all.discard(connection)
        self._fanout.forget_connection(connection)
        if (sequence := self._watched.pop(connection, None)) is not None:
            connections = self._one[sequence]
            connections.remove(connection)
            if not connections:
                del self._one[sequence]

    def publish(
        self, transition: Transition, ranges: Iterable[OrderRange], at: int, details: Sequence[str] | None = None
    ) -> None:
        """Publishes a change of all orders of `ranges` at `at`, microseconds; `details` has a text for each range."""
        if not self._all and not self._one:
            return
        for index, order_range in enumerate(ranges):
            tail = {"estado": transition.target.value, "cuando": iso_time(at)}
            if details is not None:
                tail["detalle"] = details[index]
            start, end = f'{{"event":"{transition.event}","id":"', '",' + encode_json(tail)[1:].decode() + "\n"
            if self._all:
                text = "".join([f"{start}{order}{end}" for order in order_range.ids()]).encode()
                for connection in self._all:
                    self._fanout.send_events(connection, text, order_range.count)
            for sequence in self._watched_in(order_range):
                order = next(OrderRange(order_range.received, order_range.node, sequence, 1).ids())
                for connection in self._one[sequence]:
                    self._fanout.send_events(connection, f"{start}{order}{end}".encode(), 1)

    def _watched_in(self, order_range: OrderRange) -> list[int]:
        """Returns the orders of a range that somebody watches; looks at whichever are fewer."""
        if order_range.count < len(self._one):
            return [one for one in order_range.sequences if one in self._one]
        return [one for one in self._one if 0 <= one - order_range.first < order_range.count]
