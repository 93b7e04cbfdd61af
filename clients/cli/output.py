"""What commands print: tables for people, one JSON line a result for programs."""

import contextlib
import datetime
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from clients.cli.display import duration_text, is_time, member_texts, start_text, time_text, value_text
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
# Below these a table of orders leaves its last columns no room.
_TABLE_WIDTH = 110
_REASON_WIDTH = 40
_ANY_WIDTH = 100_000
# Beside a time, what a customer's name may take of the line; the products have the rest.
_NAME_SHARE = 0.4
_TIME_WIDTH = 20
_MARGIN = 2
# Narrower than this, columns would break names apart.
_COLUMNS_WIDTH = 76
# What a column of texts has at least, if its texts are that long: a narrower one cannot be read.
_READABLE = 16
# Of a list, that one long error does not push the other orders off the screen; `explain` shows all of it.
_REASON_CHARACTERS = 200
_STATE_WIDTH = max(map(len, State))
_NONE = "none"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Output:
    """Prints results; as JSON lines when asked to, or when standard output is no terminal."""

    def __init__(self, *, json: bool) -> None:
        self.json = json or not sys.stdout.isatty()
        self._console = Console(highlight=False, markup=False)

    def plain(self, members: Any, text: RenderableType) -> None:
        """One result: its members, or `text` for people."""
        if self.json:
            sys.stdout.write(_encode(members).decode() + "\n")
            sys.stdout.flush()
        else:
            self._console.print(text, soft_wrap=True)

    def accepted(self, accepted: Accepted) -> None:
        """The answer to an order."""
        told = ["was there already"] if accepted.duplicate else []
        if accepted.position is not None:
            told.append(f"position {accepted.position:,}")
        if accepted.wait_ms is not None:
            told.append(start_text(accepted.wait_ms))
        text = self._fitted(_named(accepted.id, accepted.state), Text(", ".join(told)))
        self.plain(accepted, text)

    def state(self, order_id: str, state: State) -> None:
        """What became of an order."""
        self.plain({"id": order_id, "estado": state}, _named(order_id, state))

    def final(self, order: StoredOrder) -> None:
        """How an order ended."""
        self.plain(order, self._fitted(_named(order.id, order.state), Text(printable(order.detail or ""))))

    def orders(self, orders: Sequence[StoredOrder]) -> None:
        """Some orders."""
        if self.json:
            for order in orders:
                self.plain(order, "")
            return
        if not orders:
            self._console.print(_NONE)
            return
        reasons = any(order.detail for order in orders)
        if self._console.width < _TABLE_WIDTH + _REASON_WIDTH * reasons:
            self._narrow_orders(orders)
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
                time_text(order.received),
                *((str(order.attempts), printable(_shortened(order.detail))) if reasons else ()),
            )
        self._console.print(table)

    def _narrow_orders(self, orders: Sequence[StoredOrder]) -> None:
        """Orders where one line is too narrow for them: the id as a whole, and columns of their own below it."""
        room = self._console.width - 3 * _MARGIN - _TIME_WIDTH
        names = min(max(len(order.customer) for order in orders), int(room * _NAME_SHARE))
        names = max(names, len("cliente"))
        columns = self._console.width >= _COLUMNS_WIDTH
        if columns:
            self._console.print(Text("id", style="bold"))
            self._print_cells(("recibido", "cliente", "productos"), names, style="bold")
        for order in orders:
            self._console.print(_named(order.id, order.state), overflow="fold")
            cells = (time_text(order.received), printable(order.customer), printable(items_text(order)))
            if columns:
                self._print_cells(cells, names)
            else:
                self._print_below(f"{cells[0]}  {cells[1]}: {cells[2]}")
            if order.detail:
                self._print_below(f"{attempts_text(order.attempts)}: {printable(_shortened(order.detail))}")

    def _print_cells(self, cells: Sequence[str], names: int, *, style: str = "") -> None:
        grid = Table.grid(padding=(0, _MARGIN, 0, 0))
        for width in (_TIME_WIDTH, names, None):
            grid.add_column(overflow="fold", width=width)
        grid.add_row(*cells, style=style)
        self._console.print(Padding(grid, (0, 0, 0, _MARGIN)))

    def _print_below(self, text: str) -> None:
        self._console.print(Padding(Text(text, overflow="fold"), (0, 0, 0, _MARGIN)))

    def _fitted(self, head: Text, rest: Text) -> Text:
        """Two parts of a result on one line, or the second one on a line below where they do not fit."""
        if not rest.plain:
            return head
        fits = head.cell_len + 2 + rest.cell_len <= self._console.width
        return head + Text("  " if fits else "\n  ") + rest

    def order(self, order: StoredOrder) -> None:
        """One order with all that is known of it."""
        if self.json:
            self.plain(order, "")
            return
        members = msgspec.to_builtins(order, builtin_types=(datetime.datetime,))
        members["productos"] = items_text(order)
        self.members(members)

    def explanation(self, story: dict[str, Any]) -> None:
        """What happened to an order, and each failed attempt at it."""
        if self.json:
            self.plain(story, "")
            return
        head = _named(story["id"], State(story["estado"]))
        attempts = f"({attempts_text(story['intento'])})"
        detail = printable(story.get("detalle") or "")
        self._console.print(self._fitted(head, Text(f"{detail}  {attempts}" if detail else attempts)), overflow="fold")
        for step in story["pasos"]:
            self._console.print(f"{value_text(step['cuando'])}  {duration_text(step['ms']):>12}  {step['paso']}")
        for failed in story.get("errores", ()):
            place = f" at {failed['lugar']}" if "lugar" in failed else ""
            told = f"{value_text(failed['cuando'])}  attempt {failed['intento']} failed{place}: {failed['detalle']}"
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
        for name, text in member_texts(members):
            table.add_row(Text(name, style="bold"), text)
        self._console.print(table)

    def rows(
        self, rows: Sequence[dict[str, Any]], title: str | None = None, *, shown: Sequence[str] | None = None
    ) -> None:
        """Rows that are alike; people see those members that are to be `shown`, and ids as a whole."""
        if self.json:
            for row in rows:
                self.plain(row, "")
        elif not rows:
            if title is None:
                self._console.print(_NONE)
        else:
            names = shown or list(rows[0])
            table = Table(title=title, title_justify="left", box=None, pad_edge=False)
            for name in names:
                whole = name == "id" or any(is_time(row.get(name)) for row in rows)
                number = all(isinstance(row.get(name), int | float | None) for row in rows)
                longest = max(len(value_text(row.get(name))) for row in rows)
                table.add_column(
                    name,
                    no_wrap=whole,
                    overflow="fold",
                    justify="right" if number else "left",
                    min_width=min(longest, _READABLE),
                )
            for row in rows:
                table.add_row(*("" if row.get(name) is None else value_text(row[name]) for name in names))
            needed = self._console.measure(table, options=self._console.options.update(max_width=_ANY_WIDTH)).minimum
            if needed <= self._console.width:
                self._console.print(table)
                return
            # Too narrow for a table: a paragraph for each row, with every name and value as a whole.
            for row in rows:
                self._console.print(Rule(style="dim"))
                self.members({name: row[name] for name in names if row.get(name) is not None})

    def happening(self, event: dict[str, Any]) -> None:
        """One event of the topics: its number, time and name, and what it is about on the lines below."""
        head = Text(f"{event.get('seq', ''):>7}  {value_text(event.get('cuando')):<{_TIME_WIDTH}}  ")
        head += Text(printable(event["event"]), style="bold")
        about = member_texts({name: one for name, one in event.items() if name not in ("seq", "cuando", "event")})
        told = Text("  ".join(f"{name} {text}" for name, text in about), overflow="fold")
        self.plain(event, Group(head, Padding(told, (0, 0, 0, 9))) if about else head)

    def event(self, event: Event) -> None:
        """One change of an order."""
        if event.missed is not None:
            self.plain(event, Text(f"{event.missed:,} events were missed", style="red"))
        elif event.state is not None and event.id is not None:
            head = Text(f"{value_text(event.when)}  ")
            detail = Text(printable(event.detail or ""))
            head += _styled(event.state) + Text(" " * (_STATE_WIDTH - len(event.state.value)))
            self.plain(event, self._fitted(head, Text(event.id)) + Text("\n  " if event.detail else "") + detail)


def _shortened(detail: str | None) -> str:
    detail = detail or ""
    return detail if len(detail) <= _REASON_CHARACTERS else detail[:_REASON_CHARACTERS] + "…"


def _styled(state: State) -> Text:
    return Text(state.value, style=_STYLES[state])


def _named(order_id: str, state: State) -> Text:
    return Text(f"{order_id}  ") + _styled(state)


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
