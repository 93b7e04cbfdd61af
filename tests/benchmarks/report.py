"""Writes what was measured: `docs/PERFORMANCE.md`, its chart, and a JSON file."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.accounts import AccountFigures
from tests.benchmarks.bars import Figures, Rates, bars
from tests.benchmarks.dashboard import DashboardFigures
from tests.benchmarks.documents import DATA, ROOT, Bar, machine, replace_report
from tests.benchmarks.dynamodb import DynamoFigures, cost
from tests.benchmarks.dynamodb_rush import DynamoRushFigures
from tests.benchmarks.events import EventFigures
from tests.benchmarks.gateway import GatewayFigures
from tests.benchmarks.inventory import InventoryFigures
from tests.benchmarks.lake import LakeFigures
from tests.benchmarks.records import Records
from tests.benchmarks.recovery import BigStartFigures, RecoveryFigures
from tests.benchmarks.search import SearchFigures
from tests.benchmarks.shop import ShopFigures
from tests.benchmarks.shop_rush import RushFigures
from tests.benchmarks.shop_sales import SaleFigures
from tests.benchmarks.shop_search import ShopSearchFigures
from tests.benchmarks.trials import EndToEnd

_NOTES = "<!-- everything above is written by the benchmark -->\n"

DOC = ROOT / "docs" / "PERFORMANCE.md"
CHART = ROOT / "docs" / "images" / "performance.svg"
FIGURES = DATA / "bench.json"


def write(figures: Figures, json_file: Path) -> tuple[str, Path]:
    """Writes the figures and the report; returns its text, and the file that has it."""
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(_members(figures), indent=1))
    text = _markdown(figures, bars(figures))
    # What people have written below the mark stays.
    notes = DOC.read_text().partition(_NOTES)[2]
    place = replace_report(DOC, f"{text}\n{_NOTES}{notes}", json_file.parent)
    if place == DOC:
        CHART.write_text(_chart(figures.rates))
    return text, place


def _members(figures: Figures) -> dict[str, Any]:
    rates = [{"peer": peer, "window": window, "rounds": list(found)} for (peer, window), found in figures.rates.items()]
    members = {
        "end_to_end": figures.end,
        "footprint": figures.foot,
        "recovery": figures.recovered,
        "big_start": figures.big,
        "records": figures.kept,
        "dynamodb": figures.dynamo,
        "dynamodb_rush": figures.dynamo_rush,
        "events": figures.told,
        "gateway": figures.asked,
        "dashboard": figures.page,
        "inventory": figures.stock,
        "accounts": figures.accounts,
        "shop": figures.shop,
        "rush": figures.rush,
        "sales": figures.sold,
        "search": figures.searched,
        "lake": figures.lake,
        "search_times": figures.search_times,
    }
    return {"rates": rates, **{name: found and found._asdict() for name, found in members.items()}}


def _markdown(figures: Figures, found: Sequence[Bar]) -> str:
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
    for (peer, window), rounds in figures.rates.items():
        each = ", ".join(f"{rate:,.0f}" for rate in rounds)
        lines.append(f"| {peer} | {window} | {median(rounds):,.0f} | {each} |")
    lines += [] if figures.end is None else _end_lines(figures.end)
    lines += [] if figures.recovered is None else _recovery_lines(figures.recovered)
    lines += [] if figures.big is None else _big_start_lines(figures.big)
    lines += [] if figures.kept is None else _record_lines(figures.kept)
    lines += [] if figures.dynamo is None else _dynamo_lines(figures.dynamo)
    lines += [] if figures.dynamo_rush is None else _dynamo_rush_lines(figures.dynamo_rush)
    lines += [] if figures.told is None else _event_lines(figures.told)
    lines += [] if figures.asked is None else _gateway_lines(figures.asked)
    lines += [] if figures.stock is None else _inventory_lines(figures.stock)
    lines += [] if figures.accounts is None else _account_lines(figures.accounts)
    lines += [] if figures.shop is None else _shop_lines(figures.shop)
    lines += [] if figures.rush is None else _rush_lines(figures.rush)
    lines += [] if figures.sold is None else _sale_lines(figures.sold)
    lines += [] if figures.searched is None else _search_lines(figures.searched)
    lines += [] if figures.lake is None else _lake_lines(figures.lake)
    lines += [] if figures.search_times is None else _search_time_lines(figures.search_times)
    lines += [] if figures.page is None else _page_lines(figures.page)
    lines += ["", "| bar | figure | needed | |", "|---|---|---|---|"]
    lines += [f"| {bar.what} | {bar.figure} | {bar.needed} | {'met' if bar.met else '**missed**'} |" for bar in found]
    lines += ["", "## Machine and versions", "", *(f"- {line}" for line in machine("make bench")), ""]
    return "\n".join(lines)


def _end_lines(end: EndToEnd) -> list[str]:
    memory = f"{end.memory_before_mb:.0f}, {end.memory_after_mb:.0f} MB"
    return [
        "",
        "From the first order sent to the last one `listo`: two workers, `WORKER_CONCURRENCY` 4000, and a handler that",
        "does nothing:",
        "",
        "| orders | accepted/s meanwhile | end to end/s | memory before, after | logs left |",
        "|---|---|---|---|---|",
        f"| {end.orders:,} | {end.accepted_rate:,.0f} | {end.rate:,.0f} | {memory} | {end.logs_mb:.0f} MB |",
    ]


def _recovery_lines(recovered: RecoveryFigures) -> list[str]:
    large = f"{recovered.large:,} of them of {recovered.large_kib:.0f} KiB"
    return [
        "",
        f"Started with {recovered.waiting:,} orders waiting, {large}, an intake answers after",
        f"{recovered.start_seconds:.2f} s; it and two workers take {recovered.memory_mb:.0f} MB at most until",
        "the large ones are `listo`.",
    ]


def _big_start_lines(big: BigStartFigures) -> list[str]:
    return [
        "",
        f"With {big.final:,} orders done, {big.waiting:,} waiting, and the very first one delayed to 2099, an intake",
        f"answers after {big.start_seconds:.2f} s; it and two workers take {big.memory_mb:.0f} MB.",
    ]


def _record_lines(kept: Records) -> list[str]:
    lines = [
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
    return lines


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
        "process included. For these, Comanda stores and processes 1,000 orders, and keeps every event; the",
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
        "Orders of 100 customers at 1,000/s, each sent to the customer's ten observers: from the commit to the",
        f"observer {told.delivery_p50_ms:.0f} ms at the median, {told.delivery_p99_ms:.0f} ms at p99. Accepted",
        f"orders a second without followers {alone:,.0f}, with the distributed service {followed:,.0f}.",
    ]


def _gateway_lines(asked: GatewayFigures) -> list[str]:
    lines = [
        "",
        "Over HTTP, wrk with 64 connections against one gateway process; all other servers run, and workers process",
        "the orders. Each order is stored with fsync before it is answered; a task is one row of SQLite.",
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


def _account_lines(accounts: AccountFigures) -> list[str]:
    return [
        "",
        "300 sign-ins arrive at once at one gateway, while another client looks at a task and a third asks for",
        f"`/health` every 5 ms. {300 - accounts.refused} passwords are checked, {accounts.sign_ins_per_second:.0f} a",
        f"second, and {accounts.refused} sign-ins get 503. A GET takes {accounts.anonymous_us:.0f} µs of CPU without",
        f"an access token, and {accounts.bearer_us:.0f} µs with one.",
    ]


def _shop_lines(shop: ShopFigures) -> list[str]:
    lines = [
        "",
        "The bookstore with 2,000 books over HTTP, 64 connections: a book by its id, and the newest 20. The peer joins",
        "two tables of SQLite. CPU is that of all processes of the server, for each request.",
        "",
        "| request | requests/s (median) | µs of CPU (median) | rounds |",
        "|---|---|---|---|",
    ]
    named = (
        ("`GET /api/v1/books/{id}`, Comanda", shop.books, shop.books_us),
        ("`GET /books/{id}`, FastAPI + aiosqlite", shop.peer_books, shop.peer_books_us),
        ("`GET /api/v1/books?limit=20`, Comanda", shop.pages, shop.pages_us),
        ("`GET /books?limit=20`, FastAPI + aiosqlite", shop.peer_pages, shop.peer_pages_us),
    )
    return lines + _cpu_rows(named)


def _sale_lines(sold: SaleFigures) -> list[str]:
    lines = [
        "",
        "Carts and checkouts over HTTP, 64 connections: each of 512 customers adds three of 2,000 books to a cart and",
        "buys them, again and again. A checkout is one durable transaction of the key, the cart, the purchase, and the",
        "price and the stock of each line; the peer does the same in one transaction of SQLite, as durable.",
        "",
        "| request | requests/s (median) | µs of CPU (median) | rounds |",
        "|---|---|---|---|",
    ]
    named = (
        ("`POST /api/v1/cart/add`, Comanda", sold.additions, sold.additions_us),
        ("`POST /cart/add`, FastAPI + aiosqlite", sold.peer_additions, sold.peer_additions_us),
        ("`POST /api/v1/purchases/checkout`, Comanda", sold.checkouts, sold.checkouts_us),
        ("`POST /purchases/checkout`, FastAPI + aiosqlite", sold.peer_checkouts, sold.peer_checkouts_us),
    )
    return lines + _cpu_rows(named)


def _cpu_rows(named: Iterable[tuple[str, Sequence[float], Sequence[float]]]) -> list[str]:
    """Returns the rows of requests with rounds: their rates, and CPU."""
    lines = []
    for name, rounds, cpu in named:
        if rounds:
            each = ", ".join(f"{rate:,.0f}" for rate in rounds)
            lines.append(f"| {name} | {median(rounds):,.0f} | {median(cpu):,.0f} | {each} |")
    return lines


def _dynamo_rush_lines(rush: DynamoRushFigures) -> list[str]:
    each = ", ".join(f"{wait:,.0f}" for wait in rush.slowest_ms)
    return [
        "",
        "150 customers buy one of 100 copies of a book at the same moment, over four persistence servers on the local",
        f"server: 100 are sold, 50 refused. The median answer takes {median(rush.p50_ms):,.0f} ms, the slowest one of",
        f"each round {each} ms.",
    ]


def _rush_lines(rush: RushFigures) -> list[str]:
    lines = [
        "",
        "A thousand customers with a token, at four gateways before one persistence server, each of whom wants one of",
        "100 copies of a book: 100 are sold, and 900 are refused, who learn that none is left. The client shares the",
        f"machine with the servers, which take {median(rush.cpu_us):,.0f} µs of CPU for a checkout.",
        "",
        "| 1,000 checkouts | p50 (median) | p99 (median) | rounds |",
        "|---|---|---|---|",
    ]
    for name, half, late in (
        ("within a second", rush.second_p50_ms, rush.second_p99_ms),
        ("at the same moment", rush.burst_p50_ms, rush.burst_p99_ms),
    ):
        each = ", ".join(f"{wait:,.0f}" for wait in late)
        lines.append(f"| {name} | {median(half):,.0f} ms | {median(late):,.0f} ms | {each} |")
    return lines


def _search_lines(searched: ShopSearchFigures) -> list[str]:
    lines = [
        "",
        "The search among 100,000 books with 64 connections: one or two words, a highest price,",
        "and the counts of three dimensions. The peer has the same filter and counts, and no tolerance for typos.",
        "",
        "| request | requests/s (median) | p99 (median) | rounds |",
        "|---|---|---|---|",
    ]
    named = (
        ("`GET /api/v1/books/search`, Comanda", searched.searches, searched.searches_p99_ms),
        ("`GET /books/search`, FastAPI + FTS5", searched.peer_searches, searched.peer_searches_p99_ms),
    )
    for name, rounds, late in named:
        if rounds:
            each = ", ".join(f"{rate:,.0f}" for rate in rounds)
            lines.append(f"| {name} | {median(rounds):,.0f} | {median(late):,.0f} ms | {each} |")
    edits = searched.edits_ms
    return [
        *lines,
        "",
        f"{len(edits)} edits of titles and prices on port 6000 are each found by another process after",
        f"{median(edits):,.0f} ms (median), {max(edits):,.0f} ms at most.",
    ]


def _search_time_lines(timed: SearchFigures) -> list[str]:
    return [
        "",
        f"The index of {timed.books:,} books takes {timed.mebibytes:.0f} MiB; a second of the processor indexes",
        f"{timed.indexed_by_cpu:,.0f} books. An edit is durable after {timed.edit.median:.0f} ms,",
        f"{timed.edit.p99:.0f} ms at most.",
        "",
        "| query, on the processor | median | p99 |",
        "|---|---|---|",
        *(f"| {times.name} | {times.median:.2f} ms | {times.p99:.2f} ms |" for times in timed.times),
    ]


def _lake_lines(lake: LakeFigures) -> list[str]:
    lines = [
        "",
        f"The analytics lake with {lake.purchases:,} purchases of a year, 1.7 lines each, and {lake.orders:,} orders:",
        f"{lake.exported:,.0f} purchases and {lake.steps:,.0f} steps of orders a second become events on disk,",
        f"{lake.merged:,.0f} and {lake.orders_merged:,.0f} a second files of days. The files of purchases and of their",
        f"lines take {lake.mebibytes:.0f} MiB. A question, of which the process waits already:",
        "",
        "| question | time (median) |",
        "|---|---|",
    ]
    lines += [f"| {name} | {milliseconds:,.0f} ms |" for name, milliseconds in lake.questions.items()]
    return [*lines, f"| orders by state and hour | {lake.count_ms:,.0f} ms |"]


def _page_lines(page: DashboardFigures) -> list[str]:
    before, after = page.heap_before_mb, page.heap_after_mb
    return [
        "",
        "The dashboard in Chromium on the same machine, which draws without a graphics card: a first visit transfers",
        f"{page.kilobytes:.0f} KB and is loaded after {page.load_ms:.0f} ms. While 1,000 orders and 3,000 events",
        f"a second come in it draws {page.frames:.1f} frames a second, 99 % within {page.slow_frame_ms:.1f} ms each,",
        f"and its memory goes from {before:.1f} to {after:.1f} MB.",
    ]


def _chart(rates: Rates) -> str:
    """A bar chart of the medians."""
    rows = [(f"{peer}, {window} in flight", median(found)) for (peer, window), found in rates.items()]
    highest = max((rate for _, rate in rows), default=1.0)
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
