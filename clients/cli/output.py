"""What commands print: tables for people, one JSON line a result for programs."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from clients.replies import Event, StoredOrder
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


class Output:
    """Prints results; as JSON lines when asked to, or when standard output is no terminal."""

    def __init__(self, *, json: bool) -> None:
        self.json = json or not sys.stdout.isatty()
        self._console = Console(highlight=False)

    def plain(self, members: Any, text: str) -> None:
        """One result: its members, or `text` for people."""
        if self.json:
            sys.stdout.write(msgspec.json.encode(members, order=None).decode() + "\n")
            sys.stdout.flush()
        else:
            self._console.print(text)

    def orders(self, orders: Sequence[StoredOrder]) -> None:
        """Some orders."""
        if self.json:
            for order in orders:
                self.plain(order, "")
            return
        table = Table(box=None, pad_edge=False)
        for name in ("id", "estado", "cliente", "productos", "recibido"):
            table.add_column(name, no_wrap=name == "id")
        for order in orders:
            table.add_row(order.id, styled(order.state), order.customer, items_text(order), f"{order.received:%F %T}")
        self._console.print(table)

    def members(self, members: dict[str, Any]) -> None:
        """An answer as names and values."""
        if self.json:
            self.plain(members, "")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in members.items():
            shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            table.add_row(f"[bold]{name}[/bold]", shown)
        self._console.print(table)

    def event(self, event: Event) -> None:
        """One change of an order."""
        if event.missed is not None:
            self.plain(event, f"[red]{event.missed} events were missed[/red]")
        elif event.state is not None:
            detail = f"  {event.detail}" if event.detail else ""
            self.plain(event, f"{event.when:%T.%f}  {event.id}  {styled(event.state)}{detail}")


def styled(state: State) -> str:
    """A state in its colour."""
    return f"[{_STYLES[state]}]{state.value}[/{_STYLES[state]}]"


def items_text(order: StoredOrder) -> str:
    """The products of an order, on one line."""
    names = [f"{item.quantity} x {item.name}" if isinstance(item, Item) else item for item in order.items]
    return ", ".join(names)


def fail(error: ComandaError) -> int:
    """Tells of an error in one line on standard error; gives the exit status."""
    hint = f" ({error.hint})" if error.hint else ""
    sys.stderr.write(f"error: {error.message}{hint}\n")
    return 1
