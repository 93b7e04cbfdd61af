"""What a load test tells at its end: a table for people, one JSON object for programs."""

from rich.console import Console
from rich.table import Table

from clients.cli.text import printable
from clients.loadtest.measure import TEMPORARY, Measure
from clients.loadtest.verify import Verdict

_SHOWN_IDS = 10


def passed(measure: Measure, verdict: Verdict | None) -> bool:
    """Whether every order was accepted, and nothing that was checked is wrong."""
    return not measure.rejected and not measure.unknown and (verdict is None or verdict.passed)


def members(measure: Measure, seconds: float, verdict: Verdict | None) -> dict[str, object]:
    """The result as the members of a JSON object."""
    return {
        "sent": measure.sent,
        "accepted": measure.accepted,
        "seconds": round(seconds, 3),
        "rate": round(measure.accepted / seconds, 1),
        "refused": measure.refused,
        "unknown": measure.unknown,
        "duplicates": measure.duplicates,
        "reconnections": measure.reconnections,
        "latency_ms": {name: round(value, 3) for name, value in measure.latency_ms()},
        "verdict": verdict,
        "passed": passed(measure, verdict),
    }


def show(console: Console, measure: Measure, seconds: float, verdict: Verdict | None) -> None:
    """Prints the result."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("sent", f"{measure.sent:,}")
    table.add_row("accepted", f"{measure.accepted:,} in {seconds:.2f} s")
    table.add_row("rate", f"[bold]{measure.accepted / seconds:,.0f} orders/s[/bold]")
    table.add_row("latency", "  ".join(f"{name} {value:.2f} ms" for name, value in measure.latency_ms()))
    for code, number in measure.refused.items():
        again = ", sent again each time" if code in TEMPORARY else ""
        table.add_row("refused", f"{number:,} {printable(code)}{again}")
    if measure.unknown:
        table.add_row("unknown", f"{measure.unknown:,}: their connection broke before the answer")
    if measure.reconnections:
        table.add_row("reconnections", f"{measure.reconnections:,}; {measure.duplicates:,} orders were there already")
    console.print(table)
    if verdict is not None:
        _show_verdict(console, verdict)


def _show_verdict(console: Console, verdict: Verdict) -> None:
    if verdict.passed:
        console.print(f"[green]verified[/green]: {verdict.checked:,} orders are there once, unchanged and listo")
        return
    for name in ("lost", "doubled", "changed", "unfinished"):
        if ids := getattr(verdict, name):
            console.print(f"[red]{name}[/red]: {len(ids):,} orders, such as {', '.join(ids[:_SHOWN_IDS])}")
