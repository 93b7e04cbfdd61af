"""Writes what was measured: `docs/PERFORMANCE.md`, its chart, and a JSON file."""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.benchmarks.dashboard import DashboardFigures
from tests.benchmarks.dynamodb import DynamoFigures, cost
from tests.benchmarks.events import EventFigures
from tests.benchmarks.gateway import GatewayFigures
from tests.benchmarks.inventory import InventoryFigures
from tests.benchmarks.records import Records
from tests.benchmarks.trials import EndToEnd, Footprint

_NOTES = "<!-- everything above is written by the benchmark -->\n"

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "PERFORMANCE.md"
CHART = ROOT / "docs" / "images" / "performance.svg"

Rates = Mapping[tuple[str, int], Sequence[float]]
"""Orders a second of each round, by peer and window."""


class Bar(NamedTuple):
    """One bar to be reached: what, the figure, and whether it is enough."""

    what: str
    figure: str
    needed: str
    met: bool


class Figures(NamedTuple):
    """Everything that was measured."""

    rates: Rates
    ends: Sequence[EndToEnd]
    foot: Footprint
    kept: Records
    dynamo: DynamoFigures
    told: EventFigures
    asked: GatewayFigures | None
    """None without wrk."""
    stock: InventoryFigures | None
    """Likewise."""
    page: DashboardFigures | None
    """None without Chromium."""


def bars(figures: Figures) -> list[Bar]:
    """Every bar that the measured peers allow to be judged."""
    rates, ends, foot, kept, dynamo, told, asked, stock, page = figures
    found: list[Bar] = []
    ours = {window: median(rates["Comanda", window]) for window in (1, 32)}
    for peer, window, factor in (
        ("Redis Streams", 1, 1.0),
        ("Redis Streams", 32, 0.6),
        ("beanstalkd", 1, 5.0),
        ("FastAPI + aiosqlite", 1, 10.0),
    ):
        if (peer, window) in rates:
            ratio = ours[window] / median(rates[peer, window])
            what = f"accepted and stored, {window} in flight, beside {peer}"
            found.append(Bar(what, f"{ratio:.2f} times", f"{factor:g} times", ratio >= factor))
    share = median([end.rate for end in ends]) / ours[32]
    found.append(Bar("to the last `listo`, share of the accept rate", f"{share:.0%}", "60 %", share >= 0.6))
    ping = max(end.ping_p99_ms for end in ends)
    found.append(Bar("ping p99 on another connection meanwhile", f"{ping:.1f} ms", "20 ms", ping <= 20))
    found.append(Bar("an idle connection", f"{foot.idle_kib:.1f} KiB", "8 KiB", foot.idle_kib <= 8))
    found.append(Bar("start to first answer", f"{foot.start_seconds:.2f} s", "1 s", foot.start_seconds <= 1))
    found += _record_bars(kept) + _dynamo_bars(dynamo) + _event_bars(told)
    found += [] if asked is None else _gateway_bars(asked)
    found += [] if stock is None else _inventory_bars(stock)
    return found + ([] if page is None else _page_bars(page))


def _page_bars(page: DashboardFigures) -> list[Bar]:
    grown = page.heap_after_mb - page.heap_before_mb
    return [
        Bar("first visit to the dashboard", f"{page.kilobytes:.0f} KB", "200 KB", page.kilobytes <= 200),
        Bar("time to its `load` event", f"{page.load_ms:.0f} ms", "300 ms", page.load_ms <= 300),
        # A tenth of a frame is the clock's.
        Bar("frames a second at 1,000 orders/s", f"{page.frames:.1f}", "60", page.frames >= 59.5),
        Bar("memory that the page gains meanwhile", f"{grown:.1f} MB", "1 MB", grown <= 1),
    ]


def _inventory_bars(stock: InventoryFigures) -> list[Bar]:
    took, grown = median(stock.import_seconds), stock.grown_mb
    added = median(stock.plain) / median(stock.reserved) - 1
    added_http = median(stock.plain_http) / median(stock.reserved_http) - 1
    found = [
        Bar("a file of 100,000 rows in force, over HTTP", f"{took:.1f} s", "10 s", took <= 10),
        Bar("memory that it leaves behind", f"{grown:.0f} MB", "20 MB", grown <= 20),
    ]
    if stock.peer_pages:
        ratio = median(stock.pages) / median(stock.peer_pages)
        what = "`GET /items/{store}` of 100 rows, beside FastAPI + aiosqlite"
        found.append(Bar(what, f"{ratio:.2f} times", "1.5 times", ratio >= 1.5))
    return [
        *found,
        Bar("what reserving adds to an order end to end, over TCP", f"{added:.0%}", "30 %", added <= 0.3),
        Bar("the same over HTTP", f"{added_http:.0%}", "30 %", added_http <= 0.3),
        Bar("of 64 clients that want the last one, get it", f"{stock.winners}", "1", stock.winners == 1),
    ]


def _gateway_bars(asked: GatewayFigures) -> list[Bar]:
    found: list[Bar] = []
    for what, ours, theirs, factor in (
        ("`POST /api/v1/orders`", asked.orders, asked.peer_orders, 2.5),
        ("`GET /tasks/{id}`", asked.tasks, asked.peer_tasks, 1.5),
    ):
        if theirs:
            ratio = median(ours) / median(theirs)
            found.append(
                Bar(f"{what}, beside FastAPI + aiosqlite", f"{ratio:.2f} times", f"{factor:g} times", ratio >= factor)
            )
    for what, waits in (("`POST /api/v1/orders`", asked.orders_p99_ms), ("`GET /tasks/{id}`", asked.tasks_p99_ms)):
        late = median(waits)
        found.append(Bar(f"p99 of {what} at 64 connections", f"{late:.1f} ms", "25 ms", late <= 25))
    grown, late = asked.streams_mb, asked.stream_p99_ms
    found.append(Bar("memory of 1,000 event streams over HTTP", f"{grown:.0f} MB", "60 MB", grown <= 60))
    found.append(Bar("p99 from commit to their clients", f"{late:.0f} ms", "150 ms", late <= 150))
    return found


def _event_bars(told: EventFigures) -> list[Bar]:
    deliveries = median(told.fan_out["Comanda"])
    cost = 1 - median(told.followed) / median(told.alone)
    growth = told.memory_after_mb - told.memory_before_mb
    late, asked, blocked = told.delivery_p99_ms, told.stats_p99_ms, told.blocked_kib
    behind = told.keep_up_seconds
    return [
        Bar("events delivered to 1,000 observers", f"{deliveries:,.0f}/s", "150,000/s", deliveries >= 150_000),
        Bar("p99 from commit to an observer at 1,000 orders/s", f"{late:.0f} ms", "100 ms", late <= 100),
        Bar("counted after the last of 20,000 orders/s", f"{behind:.2f} s", "1 s", behind <= 1),
        Bar("what following costs the accept rate", f"{cost:.0%}", "15 %", cost <= 0.15),
        Bar(f"p99 of statistics about {told.history:,} orders", f"{asked:.1f} ms", "2 ms", asked <= 2),
        Bar("memory that a million events leave behind", f"{growth:.0f} MB", "10 MB", growth <= 10),
        Bar("an observer that reads nothing", f"{blocked:.0f} KiB", "1024 KiB", blocked <= 1024),
    ]


def _dynamo_bars(dynamo: DynamoFigures) -> list[Bar]:
    puts = median(dynamo.puts) / median(dynamo.bare_puts)
    orders = median(dynamo.orders) / median(dynamo.bare_orders)
    return [
        Bar("DynamoDB: conditional puts, beside a bare loop of them", f"{puts:.2f} times", "0.8 times", puts >= 0.8),
        Bar(
            "DynamoDB: orders, beside a bare loop of `BatchWriteItem`",
            f"{orders:.1f} times",
            "0.8 times",
            orders >= 0.8,
        ),
    ]


def _record_bars(kept: Records) -> list[Bar]:
    found: list[Bar] = []
    sets = median(kept.sets["Comanda"])
    for peer, factor in (("Redis Streams", 0.8), ("FastAPI + aiosqlite", 10.0)):
        if peer in kept.sets:
            ratio = sets / median(kept.sets[peer])
            what = f"`set` with audit, beside {peer} with the same two writes"
            found.append(Bar(what, f"{ratio:.2f} times", f"{factor:g} times", ratio >= factor))
    ratio = median(kept.gets) / sets
    found.append(Bar("`get` with audit, beside `set`", f"{ratio:.2f} times", "1 times", ratio >= 1))
    items, wait = median(kept.items), median(kept.item_p99_ms)
    found.append(Bar("`get_item`, 50 connections", f"{items:,.0f}/s", "25,000/s", items >= 25_000))
    found.append(Bar("p99 of `get_item`", f"{wait:.1f} ms", "5 ms", wait <= 5))
    return found


def write(figures: Figures, json_file: Path | None) -> str:
    """Writes the report; gives its text."""
    text = _markdown(figures, bars(figures))
    # What people have written below the mark stays.
    notes = DOC.read_text().partition(_NOTES)[2]
    DOC.write_text(f"{text}\n{_NOTES}{notes}")
    CHART.write_text(_chart(figures.rates))
    if json_file is not None:
        json_file.write_text(json.dumps(_members(figures), indent=1))
    return text


def _members(figures: Figures) -> dict[str, Any]:
    rates = figures.rates.items()
    return {
        "rates": [{"peer": peer, "window": window, "rounds": list(found)} for (peer, window), found in rates],
        "end_to_end": [end._asdict() for end in figures.ends],
        "footprint": figures.foot._asdict(),
        "records": figures.kept._asdict(),
        "dynamodb": figures.dynamo._asdict(),
        "events": figures.told._asdict(),
        "gateway": None if figures.asked is None else figures.asked._asdict(),
        "dashboard": None if figures.page is None else figures.page._asdict(),
        "inventory": None if figures.stock is None else figures.stock._asdict(),
    }


def _markdown(figures: Figures, found: Sequence[Bar]) -> str:
    rates, ends, _, kept, dynamo, told, asked, stock, page = figures
    lines = [
        "# Performance",
        "",
        "Written by `make bench`, which starts every server itself and drives them all with the same client, in",
        "alternating rounds, on one machine. Every server syncs to disk before it answers. Comanda validates each",
        "order and keeps its workers waiting while accepting is measured; Redis Streams and beanstalkd store bytes.",
        "",
        "![Orders accepted and stored a second](images/performance.svg)",
        "",
        "| 50 connections | in flight on each | orders/s (median) | rounds |",
        "|---|---|---|---|",
    ]
    for (peer, window), rounds in rates.items():
        each = ", ".join(f"{rate:,.0f}" for rate in rounds)
        lines.append(f"| {peer} | {window} | {median(rounds):,.0f} | {each} |")
    lines += [
        "",
        "From the first order sent to the last one `listo`: two workers, `WORKER_CONCURRENCY` 4000, and a handler that",
        "does nothing:",
        "",
    ]
    lines += [
        "| orders | accepted/s meanwhile | end to end/s | memory before, after | logs left |",
        "|---|---|---|---|---|",
    ]
    for end in ends:
        memory = f"{end.memory_before_mb:.0f}, {end.memory_after_mb:.0f} MB"
        rates_text = f"{end.accepted_rate:,.0f} | {end.rate:,.0f}"
        lines.append(f"| {end.orders:,} | {rates_text} | {memory} | {end.logs_mb:.0f} MB |")
    lines += [
        "",
        "Records, 50 connections with one request in flight on each. `set` writes the record and an entry of the audit",
        "log: Redis does so with `MULTI`, `HSET`, `XADD`, `EXEC`, FastAPI with two inserts in one transaction.",
        "",
        "| request | requests/s (median) | rounds |",
        "|---|---|---|",
    ]
    named = [(f"`set`, {peer}", rounds) for peer, rounds in kept.sets.items()]
    named += [("`get` with audit, Comanda", kept.gets), ("`get_item` without, Comanda", kept.items)]
    for name, rounds in named:
        each = ", ".join(f"{rate:,.0f}" for rate in rounds)
        lines.append(f"| {name} | {median(rounds):,.0f} | {each} |")
    lines += _dynamo_lines(dynamo) + _event_lines(told) + (_gateway_lines(asked) if asked is not None else [])
    lines += [] if stock is None else _inventory_lines(stock)
    lines += [] if page is None else _page_lines(page)
    lines += ["", "| bar | figure | needed | |", "|---|---|---|---|"]
    lines += [f"| {bar.what} | {bar.figure} | {bar.needed} | {'met' if bar.met else '**missed**'} |" for bar in found]
    lines += ["", "## Machine and versions", "", *(f"- {line}" for line in machine("make bench")), ""]
    return "\n".join(lines)


def _dynamo_lines(dynamo: DynamoFigures) -> list[str]:
    lines = [
        "",
        "On DynamoDB, beside bare loops of aioboto3 on the same local server, which is a process of Python itself:",
        "puts on the condition that nothing is there in 50 tasks, and orders, the bare ones by `BatchWriteItem`.",
        "",
        "| | items/s (median) | rounds |",
        "|---|---|---|",
    ]
    named = (
        ("puts, bare", dynamo.bare_puts),
        ("puts, Comanda", dynamo.puts),
        ("orders, bare", dynamo.bare_orders),
        ("orders, Comanda", dynamo.orders),
    )
    for name, rounds in named:
        each = ", ".join(f"{rate:,.0f}" for rate in rounds)
        lines.append(f"| {name} | {median(rounds):,.0f} | {each} |")
    full, light = dynamo.units_full, dynamo.units_light
    return [
        *lines,
        "",
        f"From acceptance to `listo` an order takes {full:.2f} write units with 1,600 orders a turn, and {light:.2f}",
        f"with 36, counted from the requests. On AWS, on demand in us-east-1, a million orders cost {cost(full):.2f}",
        f"or {cost(light):.2f} dollars of writes. An order that is alone in its turn takes three units: a million",
        f"such orders cost {cost(3):.2f} dollars.",
    ]


def _event_lines(told: EventFigures) -> list[str]:
    lines = [
        "",
        "Events to 1,000 observers, 3,000 of them, from the first byte sent to the last one delivered, the observers'",
        "process included. Comanda takes 1,000 orders for it, stores and works them off, and keeps every event; the",
        "others pass on 3,000 texts of the same size that one connection publishes, and keep none.",
        "",
        "| server | deliveries/s (median) | rounds |",
        "|---|---|---|",
    ]
    for name, rounds in told.fan_out.items():
        each = ", ".join(f"{rate:,.0f}" for rate in rounds)
        lines.append(f"| {name} | {median(rounds):,.0f} | {each} |")
    alone, followed = median(told.alone), median(told.followed)
    return [
        *lines,
        "",
        "Orders of 100 customers at 1,000/s, each told to the customer's ten observers: from the commit to the",
        f"observer {told.delivery_p50_ms:.0f} ms at the median, {told.delivery_p99_ms:.0f} ms at p99. Accepted",
        f"orders a second with nobody following {alone:,.0f}, with the distributed service {followed:,.0f}.",
    ]


def _gateway_lines(asked: GatewayFigures) -> list[str]:
    lines = [
        "",
        "Over HTTP, wrk with 64 connections against one gateway process; all other servers run, and workers work the",
        "orders off. Each order is stored with fsync before it is answered; a task is one row of SQLite.",
        "",
        "| request | requests/s (median) | rounds |",
        "|---|---|---|",
    ]
    named = (
        ("`POST /api/v1/orders`, Comanda", asked.orders),
        ("`POST /orders`, FastAPI + aiosqlite", asked.peer_orders),
        ("`GET /tasks/{id}`, Comanda", asked.tasks),
        ("`GET /tasks/{id}`, FastAPI + aiosqlite", asked.peer_tasks),
    )
    for name, rounds in named:
        if rounds:
            each = ", ".join(f"{rate:,.0f}" for rate in rounds)
            lines.append(f"| {name} | {median(rounds):,.0f} | {each} |")
    return [
        *lines,
        "",
        "A thousand clients follow all orders as server-sent events, at 20 orders and 60 events a second: from commit",
        f"to the client {asked.stream_p50_ms:.0f} ms at the median, {asked.stream_p99_ms:.0f} ms at p99.",
    ]


def _inventory_lines(stock: InventoryFigures) -> list[str]:
    lines = [
        "",
        "Stock. A file of 100,000 rows, 50 stores of 2,000 items, is sent to the gateway; it is answered once it is",
        "stored, and in force when the inventory service has applied the last row. Pages of 100 items are read by wrk",
        "with 64 connections. Orders are followed to the last one `listo`, as above: with a handler that does nothing,",
        "and with one that takes each of their products from the stock.",
        "",
        "| | median | rounds |",
        "|---|---|---|",
    ]
    named: tuple[tuple[str, str, Sequence[float]], ...] = (
        ("100,000 rows, answered, s", ".1f", stock.accepted_seconds),
        ("100,000 rows, in force, s", ".1f", stock.import_seconds),
        ("`GET /items/{store}`, Comanda, /s", ",.0f", stock.pages),
        ("`GET /items/{store}`, FastAPI + aiosqlite, /s", ",.0f", stock.peer_pages),
        ("orders end to end, nothing reserved, /s", ",.0f", stock.plain),
        ("orders end to end, all reserved, /s", ",.0f", stock.reserved),
        ("over HTTP, nothing reserved, /s", ",.0f", stock.plain_http),
        ("over HTTP, all reserved, /s", ",.0f", stock.reserved_http),
    )
    for name, form, rounds in named:
        if rounds:
            each = ", ".join(f"{figure:{form}}" for figure in rounds)
            lines.append(f"| {name} | {median(rounds):{form}} | {each} |")
    return lines


def _page_lines(page: DashboardFigures) -> list[str]:
    before, after = page.heap_before_mb, page.heap_after_mb
    return [
        "",
        "The dashboard in Chromium on the same machine, which draws without a graphics card: a first visit transfers",
        f"{page.kilobytes:.0f} KB and is loaded after {page.load_ms:.0f} ms. While 1,000 orders and 3,000 events",
        f"a second come in it draws {page.frames:.1f} frames a second, 99 % within {page.slow_frame_ms:.1f} ms each,",
        f"and its memory goes from {before:.1f} to {after:.1f} MB.",
    ]


def machine(command: str) -> list[str]:
    """What was measured on, when, and the command that repeats it."""
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    return [
        f"{os.cpu_count()} cores, {processor}, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}; {redis.split(' sha')[0].strip() or 'no Redis'}",
        f"measured on {datetime.date.today():%Y-%m-%d}; repeat it with `{command}`",
    ]


def _chart(rates: Rates) -> str:
    """A bar chart of the medians."""
    rows = [(f"{peer}, {window} in flight", median(found)) for (peer, window), found in rates.items()]
    highest = max(rate for _, rate in rows)
    height = 40 + 34 * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 {height}" font-family="system-ui, sans-serif" '
        'font-size="14">',
        f'<rect width="820" height="{height}" rx="10" fill="#f6f8fa"/>',
        '<text x="16" y="24" fill="#42586b">orders a second, stored with fsync, 50 connections</text>',
    ]
    for place, (name, rate) in enumerate(rows):
        top = 38 + 34 * place
        width = max(400 * rate / highest, 2)
        colour = "#2b6cb0" if name.startswith("Comanda") else "#9fb3c8"
        parts.append(f'<text x="250" y="{top + 17}" text-anchor="end" fill="#14293d">{name}</text>')
        parts.append(f'<rect x="260" y="{top}" width="{width:.1f}" height="24" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{268 + width:.1f}" y="{top + 17}" fill="#14293d">{rate:,.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])
