"""Prints the result of a load test as a table, compared with a baseline if there is one."""

from rich.console import Console
from rich.table import Table

from clients.cli.text import make_printable
from clients.tools.loadtest.assessment import ERROR_LISTS, describe_processing, explain_outcome, find_bottleneck
from clients.tools.loadtest.measurements import TEMPORARY
from clients.tools.loadtest.results import LoadTestResult
from clients.tools.loadtest.verification import VerificationResult

_SHOWN_IDS = 10


def print_result(console: Console, result: LoadTestResult, baseline: LoadTestResult | None) -> None:
    """Prints the result."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("sent", f"{result.sent:,} over {result.connections} connections, {result.pipeline} in flight on each")
    table.add_row("accepted", f"{result.accepted:,} in {result.seconds:.2f} s")
    asked = f" of {result.asked_rate:,.0f} requested" if result.asked_rate else ""
    rate = f"[bold]{result.rate:,.0f} orders/s[/bold]{asked}"
    table.add_row("rate", rate + ("" if baseline is None else compare_figures(result.rate, baseline.rate, "{:,.0f}")))
    for name, value in result.latency_ms.items():
        before = None if baseline is None else baseline.latency_ms.get(name)
        table.add_row(
            f"latency {name}", f"{value:.2f} ms" + ("" if before is None else compare_figures(value, before, "{:.2f}"))
        )
    for code, number in result.refused.items():
        again = ", sent again each time" if code in TEMPORARY else ""
        table.add_row("refused", f"{number:,} {make_printable(code)}{again}")
    if result.given_up:
        table.add_row("given up", f"{result.given_up:,}: temporarily refused when the time ended")
    if result.unknown:
        table.add_row("unknown", f"{result.unknown:,}: the connection broke before the answer")
    if result.reconnections:
        table.add_row("reconnections", f"{result.reconnections:,}; {result.duplicates:,} orders had been stored before")
    if result.killed:
        table.add_row("killed", f"{result.killed:,} workers")
    if result.verdict is not None and (work := result.verdict.work) is not None:
        table.add_row("processed", describe_processing(work))
    table.add_row("client", f"{result.client_cpu:.0%} of a core")
    table.add_row("bounded by", find_bottleneck(result))
    console.print(table)
    if result.verdict is not None:
        _show_ids(console, result.verdict)
    style, outcome = ("green", "held") if result.passed else ("red", "did not hold")
    console.print(f"[{style}]{outcome}[/{style}]: {make_printable(explain_outcome(result))}", soft_wrap=True)


def compare_figures(value: float, before: float, form: str) -> str:
    """Returns the comparison of a figure with that of the baseline."""
    change = f" ({value / before - 1:+.0%})" if before else ""
    return f"; baseline {form.format(before)}{change}"


def _show_ids(console: Console, verdict: VerificationResult) -> None:
    for name in ERROR_LISTS:
        if ids := getattr(verdict, name):
            console.print(f"[red]{name}[/red]: {len(ids):,} orders, such as {', '.join(ids[:_SHOWN_IDS])}")
