"""The analytics lake: how fast it is filled, how large it is, and how long questions take.

`python -m tests.benchmarks.lake` prints the figures. A shop has a million purchases of a year, the intake ten million
orders of ten days.
"""

import argparse
import asyncio
import datetime
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from clients.lake.location import LakeLocation
from clients.lake.queries import LakeQueries, QueryLimits
from clients.persistence import PersistenceClient
from services.lake.exporter import ForgottenUsers, LakeExporter
from services.lake.progress import LakeDay, LakeProgress
from services.lake.state_keeper import DirtyDays, StateKeeper
from shared.domain.ids import OrderRange
from shared.domain.states import ACCEPT, FINISH, START, Transition
from shared.lake.layout import day_folder
from shared.lake.rows import ItemChange, make_purchase_row
from shared.lake.storage import FolderStorage
from shared.stores.ports.feeds import OrderEvents, OrderStateChange

_DAYS = 365
_ORDER_DAYS = 10
_STATUSES = ("completed",) * 9 + ("cancelled",)
_BOOKS = 10_000
_LINES = (1, 1, 1, 2, 2, 3)
_ORDERS_A_CHANGE = 50
_QUESTIONS = {
    "best-selling books of a month": """SELECT book_id, title, SUM(quantity) AS total_sales FROM purchase_lines
        WHERE year = '2025' AND month = '11' AND status <> 'cancelled'
        GROUP BY book_id, title ORDER BY total_sales DESC, book_id LIMIT 10""",
    "revenue by category of a year": """SELECT category, SUM(subtotal) AS revenue FROM purchase_lines
        WHERE year = '2025' AND status <> 'cancelled' GROUP BY category ORDER BY revenue DESC, category""",
    "purchases by user of a year": """SELECT user_id, COUNT(*) AS purchase_count, AVG(total_amount) AS avg_order
        FROM purchases WHERE year = '2025' AND status <> 'cancelled' GROUP BY user_id""",
}
_BY_STATE_AND_HOUR = "SELECT state, hour(received_at) AS hour, COUNT(*) FROM orders GROUP BY ALL"
_REPEATS = 5
_START_SECONDS = 2.0
"""After which the next process waits for its question."""


class LakeFigures(NamedTuple):
    """Figures of a lake."""

    purchases: int
    exported: float
    """Purchases a second that become lines of event files."""
    merged: float
    """Purchases a second that become Parquet files of days."""
    mebibytes: float
    """Size of the Parquet files of purchases and of their lines."""
    questions: dict[str, float]
    """Median milliseconds of each question, with its process."""
    orders: int
    steps: float
    """Steps of orders a second that become lines of event files on disk."""
    orders_merged: float
    """Steps of orders a second that become Parquet files of days."""
    count_ms: float
    """Milliseconds to count the orders by state and hour."""


class GeneratedOrders:
    """Implements `OrderFeed`: orders that are accepted, started and finished, so many on each day."""

    def __init__(self, orders: int, days: int) -> None:
        self._changes = self._make_changes(orders, days)

    async def read_events(self, after: str | None, *, limit: int) -> OrderEvents:
        """See `OrderFeed.read_events`."""
        found: list[OrderStateChange] = []
        while len(found) * _ORDERS_A_CHANGE < limit and (change := next(self._changes, None)) is not None:
            found.append(change)
        number = int(after or "0")
        return OrderEvents(found, str(number + len(found)))

    def close(self) -> None:
        """See `OrderFeed.close`."""

    def _make_changes(self, orders: int, days: int) -> Iterator[OrderStateChange]:
        first = int(datetime.datetime(2025, 11, 1, tzinfo=datetime.UTC).timestamp() * 1e6)
        step = days * 86_400_000_000 // (orders // _ORDERS_A_CHANGE)
        customers = [f"Customer {number}" for number in range(_ORDERS_A_CHANGE)]
        for number in range(orders // _ORDERS_A_CHANGE):
            received = first + number * step
            ranges = [OrderRange(received, 5, 1 + number * _ORDERS_A_CHANGE, _ORDERS_A_CHANGE)]
            for transition, later in ((ACCEPT, 0), (START, 2_000), (FINISH, 30_000)):
                yield self._make_change(transition, received + later, ranges, customers)

    def _make_change(
        self, transition: Transition, at: int, ranges: Sequence[OrderRange], customers: Sequence[str]
    ) -> OrderStateChange:
        return OrderStateChange(transition, at, ranges, customers)


def measure_lake(purchases: int, orders: int) -> LakeFigures:
    """Fills a lake with so many purchases of a year and orders of ten days, and asks it."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), purchases, orders))


async def _measure(root: Path, purchases: int, orders: int) -> LakeFigures:
    storage = FolderStorage(root / "lake")
    keeper = StateKeeper(storage)
    exported, days = await _export_purchases(storage, purchases)
    began = time.perf_counter()
    for day in days:
        await keeper.update_day(day, None)
    merged = purchases / (time.perf_counter() - began)
    files = (root / "lake/main").rglob("*.parquet")
    size = sum(path.stat().st_size for path in files) / 2**20
    steps, orders_merged = await _export_orders(root, storage, keeper, orders)
    queries = LakeQueries(LakeLocation(str(root / "lake")), QueryLimits(seconds=60), spares=1)
    try:
        questions = {name: await _ask(queries, sql) for name, sql in _QUESTIONS.items()}
        count_ms = await _ask(queries, _BY_STATE_AND_HOUR)
    finally:
        await queries.close()
    return LakeFigures(purchases, exported, merged, size, questions, orders, steps, orders_merged, count_ms)


async def _export_purchases(storage: FolderStorage, count: int) -> tuple[float, list[LakeDay]]:
    """Returns the purchases a second, without the time that it takes to make them up, and their days."""
    lines: defaultdict[LakeDay, list[bytes]] = defaultdict(list)
    spent = 0.0
    for change in _make_purchases(count):
        began = time.perf_counter()
        row = make_purchase_row(change, ())
        lines[LakeDay(row.tenant, row.folder, row.day)].append(row.line)
        spent += time.perf_counter() - began
    began = time.perf_counter()
    for day, content in lines.items():
        await storage.write(f"{day_folder(*day)}records-1.json", b"".join(content))
    return count / (spent + time.perf_counter() - began), list(lines)


async def _export_orders(root: Path, storage: FolderStorage, keeper: StateKeeper, orders: int) -> tuple[float, float]:
    """Returns the steps a second that are exported, and that become files of days."""
    days, progress = DirtyDays([]), LakeProgress(root / "lake.db")
    records = cast(PersistenceClient, None)
    feed = GeneratedOrders(orders, _ORDER_DAYS)
    exporter = LakeExporter(records, feed, storage, progress, days, ForgottenUsers({}))
    began = time.perf_counter()
    while await exporter.export_orders():
        pass
    steps = 3 * orders / (time.perf_counter() - began)
    began = time.perf_counter()
    for day, files in days.take().items():
        await keeper.update_day(day, files)
    progress.close()
    return steps, 3 * orders / (time.perf_counter() - began)


async def _ask(queries: LakeQueries, sql: str) -> float:
    """Returns the median milliseconds of a question for which a process waits."""
    taken = []
    for _ in range(_REPEATS + 1):
        found = await queries.run("main", sql)
        taken.append(found.seconds * 1000)
        assert found.rows
        await asyncio.sleep(_START_SECONDS)
    # No process waited for the first one.
    return statistics.median(taken[1:])


def _make_purchases(count: int) -> Iterator[ItemChange]:
    """Yields purchases of a year, 1.7 lines each, of which few books have most."""
    chance = random.Random(7)
    first = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    for number in range(count):
        moment = first + datetime.timedelta(seconds=number * _DAYS * 86_400 / count)
        at = moment.isoformat(timespec="microseconds")
        items = [_make_line(chance) for _ in range(chance.choice(_LINES))]
        total = sum(line["subtotal"] for line in items)
        item: dict[str, Any] = {
            "user": f"01a20785-bc40-7c4e-8aeb-{chance.randrange(count // 10 + 1):012x}",
            "purchase": f"01a2{number:08x}-{chance.getrandbits(64):016x}",
            "status": chance.choice(_STATUSES),
            "total": total,
            "net": total,
            "tax": total // 26,
            "currency": "EUR",
            "exponent": 2,
            "payment_method": "card",
            "shipping_address": {"street": "Mayor 1"},
            "items": items,
            "created_at": at,
            "updated_at": at,
            "order": f"01a20785-bc40-7c4e-9aeb-{number:012x}",
        }
        yield ItemChange("main", at, None, (item, 2))


def _make_line(chance: random.Random) -> dict[str, Any]:
    book, quantity = int(_BOOKS * chance.random() ** 3), chance.choice((1, 1, 1, 2))
    price = 500 + 13 * (book % 300)
    return {
        "book_id": f"01a20785-bc40-7c4e-9aeb-{book:012x}",
        "title": f"The title of book {book}",
        "author": f"Author {book % 3000}",
        "category": f"Category {book % 20}",
        "quantity": quantity,
        "unit_price": price,
        "subtotal": price * quantity,
        "tax": price * quantity // 26,
        "tax_rate": "4",
    }


def main() -> int:
    """Prints the figures of one lake."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.lake", description=__doc__)
    parser.add_argument("--purchases", type=int, default=1_000_000)
    parser.add_argument("--orders", type=int, default=10_000_000)
    options = parser.parse_args()
    for name, value in measure_lake(options.purchases, options.orders)._asdict().items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
