"""What was measured, and the bars that it has to reach."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from tests.benchmarks.accounts import AccountFigures
from tests.benchmarks.dashboard import DashboardFigures
from tests.benchmarks.documents import Bar
from tests.benchmarks.dynamodb import DynamoFigures
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
from tests.benchmarks.trials import EndToEnd, Footprint

OURS = "Comanda"
Rates = Mapping[tuple[str, int], Sequence[float]]
"""Orders a second of each round, by peer and window."""


class Figures(NamedTuple):
    """Everything that was measured; None for a part that was left out, failed, or was not reached."""

    rates: Rates
    end: EndToEnd | None = None
    foot: Footprint | None = None
    recovered: RecoveryFigures | None = None
    big: BigStartFigures | None = None
    kept: Records | None = None
    told: EventFigures | None = None
    asked: GatewayFigures | None = None
    stock: InventoryFigures | None = None
    accounts: AccountFigures | None = None
    shop: ShopFigures | None = None
    rush: RushFigures | None = None
    sold: SaleFigures | None = None
    searched: ShopSearchFigures | None = None
    lake: LakeFigures | None = None
    search_times: SearchFigures | None = None
    page: DashboardFigures | None = None
    dynamo: DynamoFigures | None = None
    dynamo_rush: DynamoRushFigures | None = None


def bars(figures: Figures) -> list[Bar]:
    """Every bar that can be judged by what was measured."""
    found = _rate_bars(figures.rates, figures.end)
    if (end := figures.end) is not None:
        ping = end.ping_p99_ms
        found.append(Bar("ping p99 on another connection meanwhile", f"{ping:.1f} ms", "20 ms", ping <= 20))
    if (foot := figures.foot) is not None:
        found.append(Bar("an idle connection", f"{foot.idle_kib:.1f} KiB", "8 KiB", foot.idle_kib <= 8))
        start = foot.start_seconds
        found.append(Bar("start to first answer", f"{start:.2f} s", "1 s", start <= 1))
    if (recovered := figures.recovered) is not None:
        memory = recovered.memory_mb
        what = f"memory of a start with {recovered.waiting:,} orders waiting"
        found.append(Bar(what, f"{memory:.0f} MB", "256 MB", memory <= 256))
    if (big := figures.big) is not None:
        what = f"start with {big.final:,} orders done and {big.waiting:,} waiting"
        found.append(Bar(what, f"{big.start_seconds:.2f} s", "3 s", big.start_seconds <= 3))
        found.append(
            Bar("memory of the intake and two workers then", f"{big.memory_mb:.0f} MB", "200 MB", big.memory_mb <= 200)
        )
    found += [] if figures.kept is None else _record_bars(figures.kept)
    found += [] if figures.dynamo is None else _dynamo_bars(figures.dynamo)
    found += [] if figures.dynamo_rush is None else _dynamo_rush_bars(figures.dynamo_rush)
    found += [] if figures.told is None else _event_bars(figures.told)
    found += [] if figures.asked is None else _gateway_bars(figures.asked)
    found += [] if figures.stock is None else _inventory_bars(figures.stock)
    found += [] if figures.accounts is None else _account_bars(figures.accounts)
    found += [] if figures.shop is None else _shop_bars(figures.shop)
    found += [] if figures.rush is None else _rush_bars(figures.rush)
    found += [] if figures.sold is None else _sale_bars(figures.sold)
    found += [] if figures.searched is None else _search_bars(figures.searched)
    found += [] if figures.lake is None else _lake_bars(figures.lake)
    found += [] if figures.search_times is None else _search_time_bars(figures.search_times)
    return found + ([] if figures.page is None else _page_bars(figures.page))


def _rate_bars(rates: Rates, end: EndToEnd | None) -> list[Bar]:
    found: list[Bar] = []
    for peer, window, factor in (
        ("Redis Streams", 1, 1.0),
        ("Redis Streams", 32, 0.6),
        ("beanstalkd", 1, 5.0),
        ("FastAPI + aiosqlite", 1, 10.0),
    ):
        if (peer, window) in rates and (OURS, window) in rates:
            ratio = median(rates[OURS, window]) / median(rates[peer, window])
            what = f"accepted and stored, {window} in flight, beside {peer}"
            found.append(Bar(what, f"{ratio:.2f} times", f"{factor:g} times", ratio >= factor))
    if end is not None and (OURS, 32) in rates:
        share = end.rate / median(rates[OURS, 32])
        found.append(Bar("to the last `listo`, share of the accept rate", f"{share:.0%}", "60 %", share >= 0.6))
    return found


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
        Bar("added cost of reserving, end to end over TCP", f"{added:.0%}", "30 %", added <= 0.3),
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


def _shop_bars(shop: ShopFigures) -> list[Bar]:
    if not shop.peer_books:
        return []
    ratio = median(shop.books) / median(shop.peer_books)
    what = "a book by its id, beside FastAPI + aiosqlite with the same columns"
    return [Bar(what, f"{ratio:.1f} times", "2 times", ratio >= 2)]


def _dynamo_rush_bars(rush: DynamoRushFigures) -> list[Bar]:
    late = median(rush.slowest_ms) / 1000
    return [Bar("DynamoDB: 150 customers of 100 copies, the slowest answer", f"{late:.2f} s", "2 s", late <= 2)]


def _rush_bars(rush: RushFigures) -> list[Bar]:
    late = median(rush.second_p99_ms)
    what = "1,000 customers of 100 copies within a second, at four gateways: p99"
    return [Bar(what, f"{late:.0f} ms", "250 ms", late <= 250)]


def _sale_bars(sold: SaleFigures) -> list[Bar]:
    if not sold.peer_checkouts:
        return []
    found = []
    for what, ours, theirs, factor in (
        ("a checkout of three lines", sold.checkouts, sold.peer_checkouts, 5),
        ("an addition to a cart", sold.additions, sold.peer_additions, 4),
    ):
        ratio = median(ours) / median(theirs)
        full = f"{what}, beside FastAPI + aiosqlite with the same transaction"
        found.append(Bar(full, f"{ratio:.1f} times", f"{factor} times", ratio >= factor))
    return found


def _lake_bars(lake: LakeFigures) -> list[Bar]:
    slowest = max(lake.questions.values())
    million, counted = f"{lake.purchases:,} purchases", lake.count_ms
    return [
        Bar("export of steps of orders into the lake", f"{lake.steps:,.0f}/s", "50,000/s", lake.steps >= 50_000),
        Bar(f"the slowest of three questions about {million}", f"{slowest:.0f} ms", "500 ms", slowest <= 500),
        Bar(f"{lake.orders:,} orders counted by state and hour", f"{counted:.0f} ms", "1 s", counted <= 1000),
    ]


def _search_bars(searched: ShopSearchFigures) -> list[Bar]:
    slowest = max(searched.edits_ms)
    found = [Bar("an edited book until a search finds it, slowest of 50", f"{slowest:.0f} ms", "1 s", slowest <= 1000)]
    if searched.peer_searches:
        ratio = median(searched.searches) / median(searched.peer_searches)
        found.append(Bar("searches with facets, beside FastAPI + FTS5", f"{ratio:.1f} times", "5 times", ratio >= 5))
    return found


def _search_time_bars(timed: SearchFigures) -> list[Bar]:
    """The slowest kind of query of each group."""
    found = []
    for what, least in (("search", 5), ("search with facets", 10), ("suggestions", 3)):
        slowest = max(times.p99 for times in timed.times if times.group == what)
        found.append(Bar(f"{what}: p99 of the processor's time", f"{slowest:.1f} ms", f"{least} ms", slowest <= least))
    rate = timed.indexed
    return [*found, Bar("books that are indexed a second", f"{rate:,.0f}", "4,000", rate >= 4000)]


def _account_bars(accounts: AccountFigures) -> list[Bar]:
    lookup, late = accounts.lookup_p99_ms, accounts.health_max_ms
    refused, grown = accounts.refused_p99_ms, accounts.memory_mb
    added = accounts.bearer_us / accounts.anonymous_us - 1
    return [
        Bar("300 sign-ins at once: p99 of other requests", f"{lookup:.0f} ms", "50 ms", lookup <= 50),
        Bar("longest answer of the event loop meanwhile", f"{late:.0f} ms", "100 ms", late <= 100),
        Bar("p99 of the sign-ins that are refused", f"{refused:.0f} ms", "50 ms", refused <= 50),
        Bar("memory that they add", f"{grown:.0f} MB", "80 MB", grown <= 80),
        Bar("CPU that a bearer token adds to a GET", f"{added:.0%}", "15 %", added <= 0.15),
    ]


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
        Bar("cost of following for the accept rate", f"{cost:.0%}", "15 %", cost <= 0.15),
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
