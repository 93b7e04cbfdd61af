"""What commands print: tables for people, one JSON line a result for programs."""

import contextlib
import datetime
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
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
_TIMES = ("recibido", "no_antes_de", "fecha_inicio", "fecha_fin")
# Below these a table leaves its last columns no room.
_TABLE_WIDTH = 110
_REASON_WIDTH = 40
_ANY_WIDTH = 100_000
# Of a list, that one long error does not push the other orders off the screen; `explain` shows all of it.
_REASON_CHARACTERS = 200
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
        reasons = any(order.detail for order in orders)
        if self._console.width < _TABLE_WIDTH + _REASON_WIDTH * reasons:
            self._paragraphs(orders)
            return
        table = Table(box=None, pad_edge=False)
        for name in ("id", "estado", "cliente", "productos", "recibido", *(("intentos", "detalle") if reasons else ())):
            table.add_column(name, no_wrap=name in ("id", "estado", "recibido"), overflow="fold")
        for order in orders:
            table.add_row(
                order.id,
                _styled(order.state),
                printable(order.customer),
                printable(items_text(order)),
                f"{order.received:%F %T}",
                *((str(order.attempts), printable(_shortened(order.detail))) if reasons else ()),
            )
        self._console.print(table)

    def _paragraphs(self, orders: Sequence[StoredOrder]) -> None:
        """Orders where a table would be too narrow to read: the id as a whole, and the rest in lines below it."""
        for order in orders:
            self._console.print(Text(f"{order.id}  ") + _styled(order.state), overflow="fold")
            lines = [f"{order.received:%F %T}  {order.customer}: {items_text(order)}"]
            if order.detail:
                lines.append(f"{attempts_text(order.attempts)}: {_shortened(order.detail)}")
            for line in lines:
                self._console.print(Padding(Text(printable(line), overflow="fold"), (0, 0, 0, 2)))

    def order(self, order: StoredOrder) -> None:
        """One order with all that is known of it."""
        if self.json:
            self.plain(order, "")
            return
        members = msgspec.to_builtins(order, builtin_types=(datetime.datetime,))
        members["productos"] = items_text(order)
        self.members({name: f"{value:%F %T.%f}" if name in _TIMES else value for name, value in members.items()})

    def explanation(self, story: dict[str, Any]) -> None:
        """What happened to an order, and each failed attempt at it."""
        if self.json:
            self.plain(story, "")
            return
        text = _named(story["id"], State(story["estado"]), story.get("detalle"))
        self._console.print(text + Text(f"  ({attempts_text(story['intento'])})"), soft_wrap=True)
        for step in story["pasos"]:
            self._console.print(f"{step['cuando']}  {step['ms']:>12,.3f} ms  {step['paso']}", soft_wrap=True)
        for failed in story.get("errores", ()):
            place = f" at {failed['lugar']}" if "lugar" in failed else ""
            told = f"{failed['cuando']}  attempt {failed['intento']} failed{place}: {failed['detalle']}"
            self._console.print(Text(printable(told), style="red"), soft_wrap=True)
            for line in failed.get("traza", "").splitlines():
                self._console.print(Text(f"    {printable(line)}", style="dim"), soft_wrap=True)

    def members(self, members: dict[str, Any]) -> None:
        """An answer as names and values."""
        if self.json:
            self.plain(members, "")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
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
                table.add_column(name, no_wrap=name == "id", overflow="fold")
            for row in rows:
                values = (row.get(name) for name in names)
                table.add_row(*("" if value is None else printable(str(value)) for value in values))
            needed = self._console.measure(table, options=self._console.options.update(max_width=_ANY_WIDTH)).minimum
            if needed <= self._console.width:
                self._console.print(table)
                return
            # Too narrow for a table: a paragraph for each row, with every name and value as a whole.
            for row in rows:
                self._console.print(Rule(style="dim"))
                self.members({name: row[name] for name in names if row.get(name) is not None})

    def event(self, event: Event) -> None:
        """One change of an order."""
        if event.missed is not None:
            self.plain(event, Text(f"{event.missed:,} events were missed", style="red"))
        elif event.state is not None and event.id is not None:
            self.plain(event, Text(f"{event.when:%T.%f}  ") + _named(event.id, event.state, event.detail))


def _shortened(detail: str | None) -> str:
    detail = detail or ""
    return detail if len(detail) <= _REASON_CHARACTERS else detail[:_REASON_CHARACTERS] + "…"


def _styled(state: State) -> Text:
    return Text(state.value, style=_STYLES[state])


def _named(order_id: str, state: State, detail: str | None = None) -> Text:
    return Text(f"{order_id}  ") + _styled(state) + Text(f"  {printable(detail)}" if detail else "")


def items_text(order: StoredOrder) -> str:
    """The products of an order, on one line."""
    names = [f"{item.quantity} x {item.name}" if isinstance(item, Item) else item for item in order.items]
    return ", ".join(names)


def attempts_text(attempts: int) -> str:
    """Returns how many attempts there were, in words."""
    return f"{attempts} attempt{'' if attempts == 1 else 's'}"


def note(text: str) -> None:
    """Tells something that is no error in one line on standard error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(printable(f"note: {text}") + "\n")


def fail(error: ComandaError) -> int:
    """Tells of an error in one line on standard error; gives the exit status."""
    hint = f" ({error.hint})" if error.hint else ""
    # Nobody can be told that nothing can be told.
    with contextlib.suppress(OSError):
        sys.stderr.write(printable(f"error: {error.message}{hint}") + "\n")
        sys.stderr.flush()
    return 1
