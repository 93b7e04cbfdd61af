"""Who watches orders, and what they are told. Nobody is waited for: who reads too slowly gets a gap."""

from collections.abc import Iterable, Sequence

from shared.domain.ids import Run
from shared.domain.orders import iso_time
from shared.domain.states import State
from shared.net.connection import Connection
from shared.wire.replies import encode, line


class Watchers:
    """Connections that watch all orders or one; `unread_bytes` bounds what waits for each."""

    def __init__(self, unread_bytes: int) -> None:
        self._unread_bytes = unread_bytes
        self._all: set[Connection] = set()
        self._one: dict[int, set[Connection]] = {}
        self._missed: dict[Connection, int] = {}

    def add(self, connection: Connection, sequence: int | None) -> None:
        """The connection watches the order with this sequence, or all orders, and nothing else."""
        self.remove(connection)
        connection.observing = True
        if sequence is None:
            self._all.add(connection)
        else:
            self._one.setdefault(sequence, set()).add(connection)

    def remove(self, connection: Connection) -> None:
        """The connection watches nothing any more."""
        connection.observing = False
        self._all.discard(connection)
        self._missed.pop(connection, None)
        for sequence, connections in list(self._one.items()):
            connections.discard(connection)
            if not connections:
                del self._one[sequence]

    def publish(
        self, event: str, state: State, runs: Iterable[Run], at: int, details: Sequence[str] | None = None
    ) -> None:
        """Tells of a change of all orders of `runs` at `at`, microseconds; `details` has a text for each run."""
        if not self._all and not self._one:
            return
        for index, run in enumerate(runs):
            tail = {"estado": state.value, "cuando": iso_time(at)}
            if details is not None:
                tail["detalle"] = details[index]
            start, end = f'{{"event":"{event}","id":"', '",' + encode(tail)[1:].decode() + "\n"
            if self._all:
                text = "".join([f"{start}{order}{end}" for order in run.ids()]).encode()
                for connection in self._all:
                    self._tell(connection, text, run.count)
            for sequence in [one for one in self._one if 0 <= one - run.first < run.count]:
                order = next(Run(run.received, run.node, sequence, 1).ids())
                for connection in self._one[sequence]:
                    self._tell(connection, f"{start}{order}{end}".encode(), 1)

    def _tell(self, connection: Connection, text: bytes, events: int) -> None:
        missed = self._missed.get(connection, 0)
        if connection.unread_bytes > (self._unread_bytes // 2 if missed else self._unread_bytes):
            self._missed[connection] = missed + events
            return
        if missed:
            del self._missed[connection]
            connection.send(line({"event": "gap", "missed": missed}))
        connection.send(text)
