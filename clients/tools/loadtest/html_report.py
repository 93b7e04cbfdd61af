"""The result of a load test as one self-contained page."""

import datetime
import html

from clients.tools.loadtest.assessment import ERROR_LISTS, explain_outcome, find_bottleneck
from clients.tools.loadtest.charts import BarItem, LineSeries, render_bars, render_lines
from clients.tools.loadtest.console_report import compare_figures
from clients.tools.loadtest.results import LoadTestResult

_STYLE = """
:root { color-scheme: light dark; --ink: #14293d; --soft: #5b7083; --line: #dbe3ea; --paper: #fff; --card: #f6f8fa;
  --one: #2b6cb0; --two: #c05621; --was: #8a9bab; --good: #2f855a; --bad: #c53030; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #93a4b4; --line: #2c3a47; --paper: #0f1720;
  --card: #17222d; --one: #63a4e8; --two: #f0965a; --was: #6b7c8c; --good: #68d391; --bad: #fc8181; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 860px; padding: 28px 18px 60px; font: 15px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 22px; margin: 0; } p { margin: 4px 0 20px; color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 10px; margin: 0 0 22px; }
dl div { background: var(--card); border-radius: 8px; padding: 10px 14px; }
dt { color: var(--soft); font-size: 13px; } dd { margin: 0; font-size: 20px; font-variant-numeric: tabular-nums; }
dd small { display: block; font-size: 13px; color: var(--soft); }
.good, .bad { font-size: 17px; font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
figure { margin: 0 0 22px; padding: 14px 14px 6px; background: var(--card); border-radius: 8px; }
figcaption { color: var(--soft); font-size: 13px; } figcaption b { color: var(--ink); font-size: 15px; }
figcaption ul { display: flex; gap: 16px; margin: 4px 0 0; padding: 0; list-style: none; }
figcaption i { display: inline-block; width: 18px; height: 3px; margin-right: 6px; vertical-align: middle; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; } .grid { stroke: var(--line); }
polyline.one { stroke: var(--one); } polyline.two { stroke: var(--two); }
polyline.was { stroke: var(--was); stroke-dasharray: 5 4; }
rect.one, i.one { fill: var(--one); background: var(--one); } i.two { background: var(--two); }
rect.was, i.was { fill: var(--was); background: var(--was); }
"""


def render_page(
    result: LoadTestResult, baseline: LoadTestResult | None, *, target: str, ended: datetime.datetime
) -> str:
    """Returns the page, which loads no other resources."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Comanda load test</title>
<style>{_STYLE}</style>
<h1>Comanda load test</h1>
<p>{html.escape(target)}, {ended:%Y-%m-%d %H:%M:%S %Z}; {result.connections} connections,
{result.pipeline} orders in flight on each</p>
{_render_outcome(result)}
<dl>{"".join(_render_card(*card) for card in _list_cards(result, baseline))}</dl>
{_render_charts(result, baseline)}
</html>
"""


def _render_outcome(result: LoadTestResult) -> str:
    kind, outcome = ("good", "Held") if result.passed else ("bad", "Did not hold")
    return (
        f'<p class="{kind}">{outcome}: {html.escape(explain_outcome(result))}</p>'
        f"<p>Bounded by {html.escape(find_bottleneck(result))}.</p>"
    )


def _list_cards(result: LoadTestResult, baseline: LoadTestResult | None) -> list[tuple[str, str, str]]:
    """Returns the main figures: name, figure, and a note."""
    rate_note = "" if baseline is None else compare_figures(result.rate, baseline.rate, "{:,.0f}").removeprefix("; ")
    if result.asked_rate:
        rate_note = f"{result.asked_rate:,.0f} requested; {rate_note}".removesuffix("; ")
    found = [
        ("accepted", f"{result.accepted:,}", f"in {result.seconds:.2f} s"),
        ("orders a second", f"{result.rate:,.0f}", rate_note),
        ("answers", f"{sum(result.refused.values()):,} refused", _format_answers(result)),
        ("the load test itself", f"{result.client_cpu:.0%}", "of a core"),
    ]
    if result.killed:
        found.append(("workers killed", f"{result.killed:,}", "at random, by --chaos"))
    if (verdict := result.verdict) is not None:
        wrong = {name: len(getattr(verdict, name)) for name in ERROR_LISTS if getattr(verdict, name)}
        text = ", ".join(f"{number:,} {name}" for name, number in wrong.items())
        found.append(("verified", f"{verdict.checked:,}", text or "stored once, unchanged and listo"))
        if (work := verdict.work) is not None:
            found.append(
                ("processed", f"{work.seconds:.1f} s", f"after the last answer, up to {work.rate:,.0f} orders/s")
            )
    return found


def _format_answers(result: LoadTestResult) -> str:
    kinds = {**result.refused, "given up": result.given_up, "unknown": result.unknown, "duplicate": result.duplicates}
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)


def _render_card(name: str, figure: str, note: str) -> str:
    return f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(figure)}<small>{html.escape(note)}</small></dd></div>"


def _render_charts(result: LoadTestResult, baseline: LoadTestResult | None) -> str:
    course = result.course
    rates = [LineSeries("this run", "one", course.seconds, course.rate)]
    waits = [LineSeries("p50", "one", course.seconds, course.p50), LineSeries("p99", "two", course.seconds, course.p99)]
    shares: list[BarItem] = []
    for name, value in result.latency_ms.items():
        shares.append(BarItem(name, "one", value, f"{value:,.2f} ms"))
        if baseline is not None and (was := baseline.latency_ms.get(name)) is not None:
            shares.append(BarItem("baseline", "was", was, f"{was:,.2f} ms"))
    if baseline is not None:
        rates.append(LineSeries("baseline", "was", baseline.course.seconds, baseline.course.rate))
        waits.append(LineSeries("p99 of the baseline", "was", baseline.course.seconds, baseline.course.p99))
    return "\n".join(
        (
            render_lines("Throughput", "accepted orders a second", rates),
            render_lines("Latency over time", "milliseconds until the answer", waits),
            render_bars("Latency by share of answers", "milliseconds; p99 stays above 99 of 100 answers", shares),
        )
    )
