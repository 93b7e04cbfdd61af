"""The result of a load test as one self-contained page."""

import datetime
import html

from clients.tools.loadtest.judgement import WRONG, explain_outcome, find_bound
from clients.tools.loadtest.picture import Bar, Line, bars, lines
from clients.tools.loadtest.report import beside
from clients.tools.loadtest.result import Result

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


def page(result: Result, baseline: Result | None, *, target: str, ended: datetime.datetime) -> str:
    """The page; it loads nothing from anywhere."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Comanda load test</title>
<style>{_STYLE}</style>
<h1>Comanda load test</h1>
<p>{html.escape(target)}, {ended:%Y-%m-%d %H:%M:%S %Z}; {result.connections} connections,
{result.pipeline} orders in flight on each</p>
{_outcome(result)}
<dl>{"".join(_card(*card) for card in _cards(result, baseline))}</dl>
{_pictures(result, baseline)}
</html>
"""


def _outcome(result: Result) -> str:
    kind, outcome = ("good", "Held") if result.passed else ("bad", "Did not hold")
    return (
        f'<p class="{kind}">{outcome}: {html.escape(explain_outcome(result))}</p>'
        f"<p>Bounded by {html.escape(find_bound(result))}.</p>"
    )


def _cards(result: Result, baseline: Result | None) -> list[tuple[str, str, str]]:
    """Headline figures: name, figure, and a note."""
    rate_note = "" if baseline is None else beside(result.rate, baseline.rate, "{:,.0f}").removeprefix("; ")
    if result.asked_rate:
        rate_note = f"{result.asked_rate:,.0f} asked for; {rate_note}".removesuffix("; ")
    found = [
        ("accepted", f"{result.accepted:,}", f"in {result.seconds:.2f} s"),
        ("orders a second", f"{result.rate:,.0f}", rate_note),
        ("answers", f"{sum(result.refused.values()):,} refused", _answers(result)),
        ("the load test itself", f"{result.client_cpu:.0%}", "of a core"),
    ]
    if result.killed:
        found.append(("workers killed", f"{result.killed:,}", "at random, by --chaos"))
    if (verdict := result.verdict) is not None:
        wrong = {name: len(getattr(verdict, name)) for name in WRONG if getattr(verdict, name)}
        text = ", ".join(f"{number:,} {name}" for name, number in wrong.items())
        found.append(("verified", f"{verdict.checked:,}", text or "there once, unchanged and listo"))
        if (work := verdict.work) is not None:
            found.append(
                ("worked off", f"{work.seconds:.1f} s", f"after the last answer, up to {work.rate:,.0f} orders/s")
            )
    return found


def _answers(result: Result) -> str:
    kinds = {**result.refused, "given up": result.given_up, "unknown": result.unknown, "duplicate": result.duplicates}
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)


def _card(name: str, figure: str, note: str) -> str:
    return f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(figure)}<small>{html.escape(note)}</small></dd></div>"


def _pictures(result: Result, baseline: Result | None) -> str:
    course = result.course
    rates = [Line("this run", "one", course.seconds, course.rate)]
    waits = [Line("p50", "one", course.seconds, course.p50), Line("p99", "two", course.seconds, course.p99)]
    shares: list[Bar] = []
    for name, value in result.latency_ms.items():
        shares.append(Bar(name, "one", value, f"{value:,.2f} ms"))
        if baseline is not None and (was := baseline.latency_ms.get(name)) is not None:
            shares.append(Bar("baseline", "was", was, f"{was:,.2f} ms"))
    if baseline is not None:
        rates.append(Line("baseline", "was", baseline.course.seconds, baseline.course.rate))
        waits.append(Line("p99 of the baseline", "was", baseline.course.seconds, baseline.course.p99))
    return "\n".join(
        (
            lines("Throughput", "accepted orders a second", rates),
            lines("Latency over time", "milliseconds until the answer", waits),
            bars("Latency by share of answers", "milliseconds; p99 stays above 99 of 100 answers", shares),
        )
    )
