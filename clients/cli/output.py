"""What commands print: tables for people, one JSON line a result for programs."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.cli.text import printable
from clients.replies import Accepted, Event, StoredOrder
from shared.domain.errors import ComandaError
from shared.domain.orders import Item
from shared.domain.states import State

_STYLES = {
    State.QUEUED: "yellow",
    State.RUNNING: "cyan",
    State.DONE: "green",
    State.FAILED: "red",
    State.CANCELLED: "dim",
}
# Prices as the protocol writes them.
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Output:
    """Prints results; as JSON lines when asked to, or when standard output is no terminal."""

    def __init__(self, *, json: bool) -> None:
        self.json = json or not sys.stdout.isatty()
        self._console = Console(highlight=False, markup=False)

    def plain(self, members: Any, text: Text | str) -> None:
        """One result: its members, or `text` for people."""
        if self.json:
            sys.stdout.write(_encode(members).decode() + "\n")
            sys.stdout.flush()
        else:
            self._console.print(text, soft_wrap=True)

    def accepted(self, accepted: Accepted) -> None:
        """The answer to an order."""
        text = _named(accepted.id, accepted.state)
        if accepted.duplicate:
            text.append("  (was there already)")
        if accepted.position is not None:
            text.append(f"  position {accepted.position:,}")
        if accepted.wait_ms is not None:
            text.append(f", starts in about {accepted.wait_ms:,} ms")
        self.plain(accepted, text)

    def state(self, order_id: str, state: State) -> None:
        """What became of an order."""
        self.plain({"id": order_id, "estado": state}, _named(order_id, state))

    def final(self, order: StoredOrder) -> None:
        """How an order ended."""
        self.plain(order, _named(order.id, order.state, order.detail))

    def orders(self, orders: Sequence[StoredOrder]) -> None:
        """Some orders."""
        if self.json:
            for order in orders:
                self.plain(order, "")
            return
        table = Table(box=None, pad_edge=False)
        for name in ("id", "estado", "cliente", "productos", "recibido"):
            table.add_column(name, no_wrap=name in ("id", "estado", "recibido"))
        for order in orders:
            table.add_row(
                order.id,
                _styled(order.state),
                printable(order.customer),
                printable(items_text(order)),
                f"{order.received:%F %T}",
            )
        self._console.print(table)

    def members(self, members: dict[str, Any]) -> None:
        """An answer as names and values."""
        if self.json:
            self.plain(members, "")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in members.items():
            shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            table.add_row(Text(name, style="bold"), printable(shown))
        self._console.print(table)

    def rows(
        self, rows: Sequence[dict[str, Any]], title: str | None = None, *, shown: Sequence[str] | None = None
    ) -> None:
        """Rows that are alike; people see those members that are to be `shown`, and ids as a whole."""
        if self.json:
            for row in rows:
                self.plain(row, "")
        elif rows:
            names = shown or list(rows[0])
            table = Table(title=title, title_justify="left", box=None, pad_edge=False)
            for name in names:
                table.add_column(name, no_wrap=name == "id")
            for row in rows:
                values = (row.get(name) for name in names)
                table.add_row(*("" if value is None else printable(str(value)) for value in values))
            self._console.print(table)

    def event(self, event: Event) -> None:
        """One change of an order."""
        if event.missed is not None:
            self.plain(event, Text(f"{event.missed:,} events were missed", style="red"))
        elif event.state is not None and event.id is not None:
            self.plain(event, Text(f"{event.when:%T.%f}  ") + _named(event.id, event.state, event.detail))


def _styled(state: State) -> Text:
    return Text(state.value, style=_STYLES[state])


def _named(order_id: str, state: State, detail: str | None = None) -> Text:
    return Text(f"{order_id}  ") + _styled(state) + Text(f"  {printable(detail)}" if detail else "")


def items_text(order: StoredOrder) -> str:
    """The products of an order, on one line."""
    names = [f"{item.quantity} x {item.name}" if isinstance(item, Item) else item for item in order.items]
    return ", ".join(names)


def fail(error: ComandaError) -> int:
    """Tells of an error in one line on standard error; gives the exit status."""
    hint = f" ({error.hint})" if error.hint else ""
    sys.stderr.write(printable(f"error: {error.message}{hint}") + "\n")
    return 1
