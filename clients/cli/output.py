"""Output of commands: tables on a terminal, one JSON line per result for programs."""

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

from clients.cli.display import format_duration, format_members, format_start, format_time, format_value, is_time
from clients.cli.text import make_printable
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
# Minimum width of a table of orders, and the additional width for the reasons of failures.
_TABLE_WIDTH = 110
_REASON_WIDTH = 40
_ANY_WIDTH = 100_000
# The customer's share of a line next to a time; the products have the rest.
_NAME_SHARE = 0.4
_TIME_WIDTH = 20
_MARGIN = 2
# Below this width, columns would split names.
_COLUMNS_WIDTH = 76
# Minimum width of a column with longer texts.
_READABLE = 16
# Lists cut errors to this length; `explain` shows them in full.
_REASON_CHARACTERS = 200
_STATE_WIDTH = max(map(len, State))
_NONE = "none"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Output:
    """Prints results; as JSON lines with `json`, or if standard output is no terminal."""

    def __init__(self, *, json: bool) -> None:
        self.json = json or not sys.stdout.isatty()
        self._console = Console(highlight=False, markup=False)

    def print_result(self, members: Any, text: RenderableType) -> None:
        """Prints one result: `text` on a terminal, else its members."""
        if self.json:
            sys.stdout.write(_encode(members).decode() + "\n")
            sys.stdout.flush()
        else:
            self._console.print(text, soft_wrap=True)

    def print_accepted(self, accepted: Accepted) -> None:
        """Prints the answer to an order."""
        details = ["was there already"] if accepted.duplicate else []
        if accepted.position is not None:
            details.append(f"position {accepted.position:,}")
        if accepted.wait_ms is not None:
            details.append(format_start(accepted.wait_ms))
        text = self._join_fitting(_format_head(accepted.id, accepted.state), Text(", ".join(details)))
        self.print_result(accepted, text)

    def print_state(self, order_id: str, state: State) -> None:
        """Prints the new state of an order."""
        self.print_result({"id": order_id, "estado": state}, _format_head(order_id, state))

    def print_final(self, order: StoredOrder) -> None:
        """Prints the final state of an order."""
        self.print_result(
            order, self._join_fitting(_format_head(order.id, order.state), Text(make_printable(order.detail or "")))
        )

    def print_orders(self, orders: Sequence[StoredOrder]) -> None:
        """Prints a list of orders."""
        if self.json:
            for order in orders:
                self.print_result(order, "")
            return
        if not orders:
            self._console.print(_NONE)
            return
        reasons = any(order.detail for order in orders)
        if self._console.width < _TABLE_WIDTH + _REASON_WIDTH * reasons:
            self._print_narrow_orders(orders)
            return
        table = Table(box=None, pad_edge=False)
        for name in ("id", "estado", "cliente", "productos", "recibido", *(("intentos", "detalle") if reasons else ())):
            table.add_column(name, no_wrap=name in ("id", "estado", "recibido"), overflow="fold")
        for order in orders:
            table.add_row(
                order.id,
                _style_state(order.state),
                make_printable(order.customer),
                make_printable(format_items(order)),
                format_time(order.received),
                *((str(order.attempts), make_printable(_shorten_detail(order.detail))) if reasons else ()),
            )
        self._console.print(table)

    def _print_narrow_orders(self, orders: Sequence[StoredOrder]) -> None:
        """Prints orders on a narrow terminal: each id on a line, and the other columns on the lines below it."""
        room = self._console.width - 3 * _MARGIN - _TIME_WIDTH
        names = min(max(len(order.customer) for order in orders), int(room * _NAME_SHARE))
        names = max(names, len("cliente"))
        columns = self._console.width >= _COLUMNS_WIDTH
        if columns:
            self._console.print(Text("id", style="bold"))
            self._print_cells(("recibido", "cliente", "productos"), names, style="bold")
        for order in orders:
            self._console.print(_format_head(order.id, order.state), overflow="fold")
            cells = (
                format_time(order.received),
                make_printable(order.customer),
                make_printable(format_items(order)),
            )
            if columns:
                self._print_cells(cells, names)
            else:
                self._print_below(f"{cells[0]}  {cells[1]}: {cells[2]}")
            if order.detail:
                self._print_below(f"{format_attempts(order.attempts)}: {make_printable(_shorten_detail(order.detail))}")

    def _print_cells(self, cells: Sequence[str], names: int, *, style: str = "") -> None:
        grid = Table.grid(padding=(0, _MARGIN, 0, 0))
        for width in (_TIME_WIDTH, names, None):
            grid.add_column(overflow="fold", width=width)
        grid.add_row(*cells, style=style)
        self._console.print(Padding(grid, (0, 0, 0, _MARGIN)))

    def _print_below(self, text: str) -> None:
        self._console.print(Padding(Text(text, overflow="fold"), (0, 0, 0, _MARGIN)))

    def _join_fitting(self, head: Text, rest: Text) -> Text:
        """Returns two parts of a result on one line, or on two lines if one is too narrow."""
        if not rest.plain:
            return head
        fits = head.cell_len + 2 + rest.cell_len <= self._console.width
        return head + Text("  " if fits else "\n  ") + rest

    def print_order(self, order: StoredOrder) -> None:
        """Prints all members of an order."""
        if self.json:
            self.print_result(order, "")
            return
        members = msgspec.to_builtins(order, builtin_types=(datetime.datetime,))
        members["productos"] = format_items(order)
        self.print_members(members)

    def print_explanation(self, story: dict[str, Any]) -> None:
        """Prints the history of an order, and each failed attempt."""
        if self.json:
            self.print_result(story, "")
            return
        head = _format_head(story["id"], State(story["estado"]))
        attempts = f"({format_attempts(story['intento'])})"
        detail = make_printable(story.get("detalle") or "")
        self._console.print(
            self._join_fitting(head, Text(f"{detail}  {attempts}" if detail else attempts)), overflow="fold"
        )
        for step in story["pasos"]:
            self._console.print(f"{format_value(step['cuando'])}  {format_duration(step['ms']):>12}  {step['paso']}")
        for failed in story.get("errores", ()):
            place = f" at {failed['lugar']}" if "lugar" in failed else ""
            failure = (
                f"{format_value(failed['cuando'])}  attempt {failed['intento']} failed{place}: {failed['detalle']}"
            )
            self._console.print(Text(make_printable(failure), style="red"), soft_wrap=True)
            for line in failed.get("traza", "").splitlines():
                self._console.print(Text(f"    {make_printable(line)}", style="dim"), soft_wrap=True)

    def print_members(self, members: dict[str, Any]) -> None:
        """Prints an answer as names and values."""
        if self.json:
            self.print_result(members, "")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for name, text in format_members(members):
            table.add_row(Text(name, style="bold"), text)
        self._console.print(table)

    def print_rows(
        self, rows: Sequence[dict[str, Any]], title: str | None = None, *, shown: Sequence[str] | None = None
    ) -> None:
        """Prints rows with the same members: on a terminal only the `shown` ones, with whole ids."""
        if self.json:
            for row in rows:
                self.print_result(row, "")
        elif not rows:
            if title is None:
                self._console.print(_NONE)
        else:
            names = shown or list(rows[0])
            table = Table(title=title, title_justify="left", box=None, pad_edge=False)
            for name in names:
                whole = name == "id" or any(is_time(row.get(name)) for row in rows)
                number = all(isinstance(row.get(name), int | float | None) for row in rows)
                longest = max(len(format_value(row.get(name))) for row in rows)
                table.add_column(
                    name,
                    no_wrap=whole,
                    overflow="fold",
                    justify="right" if number else "left",
                    min_width=min(longest, _READABLE),
                )
            for row in rows:
                table.add_row(*("" if row.get(name) is None else format_value(row[name]) for name in names))
            needed = self._console.measure(table, options=self._console.options.update(max_width=_ANY_WIDTH)).minimum
            if needed <= self._console.width:
                self._console.print(table)
                return
            # Too narrow for a table: one paragraph per row.
            for row in rows:
                self._console.print(Rule(style="dim"))
                self.print_members({name: row[name] for name in names if row.get(name) is not None})

    def print_event(self, event: dict[str, Any]) -> None:
        """Prints an event: its number, time and name, and its other members on the lines below."""
        head = Text(f"{event.get('seq', ''):>7}  {format_value(event.get('cuando')):<{_TIME_WIDTH}}  ")
        head += Text(make_printable(event["event"]), style="bold")
        about = format_members({name: one for name, one in event.items() if name not in ("seq", "cuando", "event")})
        details = Text("  ".join(f"{name} {text}" for name, text in about), overflow="fold")
        self.print_result(event, Group(head, Padding(details, (0, 0, 0, 9))) if about else head)

    def print_order_event(self, event: Event) -> None:
        """Prints a change of an order."""
        if event.missed is not None:
            self.print_result(event, Text(f"{event.missed:,} events were missed", style="red"))
        elif event.state is not None and event.id is not None:
            head = Text(f"{format_value(event.when)}  ")
            detail = Text(make_printable(event.detail or ""))
            head += _style_state(event.state) + Text(" " * (_STATE_WIDTH - len(event.state.value)))
            self.print_result(
                event, self._join_fitting(head, Text(event.id)) + Text("\n  " if event.detail else "") + detail
            )


def _shorten_detail(detail: str | None) -> str:
    detail = detail or ""
    return detail if len(detail) <= _REASON_CHARACTERS else detail[:_REASON_CHARACTERS] + "…"


def _style_state(state: State) -> Text:
    return Text(state.value, style=_STYLES[state])


def _format_head(order_id: str, state: State) -> Text:
    return Text(f"{order_id}  ") + _style_state(state)


def format_items(order: StoredOrder) -> str:
    """Returns the products of an order on one line."""
    names = [f"{item.quantity} x {item.name}" if isinstance(item, Item) else item for item in order.items]
    return ", ".join(names)


def format_attempts(attempts: int) -> str:
    """Returns a number of attempts with its noun."""
    return f"{attempts} attempt{'' if attempts == 1 else 's'}"


def print_note(text: str) -> None:
    """Prints a note in one line on standard error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(make_printable(f"note: {text}") + "\n")


def print_error(error: ComandaError) -> int:
    """Prints an error in one line on standard error; returns the exit status."""
    hint = f" ({error.hint})" if error.hint else ""
    # A failure to report an error cannot be reported.
    with contextlib.suppress(OSError):
        sys.stderr.write(make_printable(f"error: {error.message}{hint}") + "\n")
        sys.stderr.flush()
    return 1
