"""A year of orders in a few minutes: `python -m tests.benchmarks.retention --orders-a-day 4320 --keep-days 30`.

Works on the files as an intake, its workers and the archive do, with the days' times in place of the clock's; every
hundredth order fails, and the store is closed and opened again each week.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from shared.domain.orders import OrderRequest, Priority
from shared.stores.ports.orders import Done, Failure, OrderBatch, Ticket
from shared.stores.sqlite.archiver import Archiver
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.orders import SqliteOrderStore
from shared.stores.sqlite.work_store import SqliteWorkStore
from shared.wire.orders import encode_orders

_DAY = 86_400_000_000
_BATCH = 500
_START = 20_000 * _DAY


def _orders(first: int, count: int) -> OrderBatch:
    requests = [
        msgspec.convert(
            {
                "cliente": f"Cliente {number % 5000}",
                "productos": ["pan", {"producto": f"articulo {number % 700}", "cantidad": 2}],
                "direccion": f"Calle Mayor {number % 9973}, 28013 Madrid",
            },
            OrderRequest,
        )
        for number in range(first, first + count)
    ]
    return OrderBatch(requests, encode_orders(requests), True)


async def _day(store: SqliteOrderStore, work: SqliteWorkStore, day: int, orders: int) -> None:
    for place in range(0, orders, _BATCH):
        at = _START + day * _DAY + place * (_DAY // orders)
        batch = _orders(day * orders + place, min(_BATCH, orders - place))
        order_range = (await store.accept(batch, received=at, room=_BATCH)).orders
        await work.advance("w", tickets=[Ticket(order_range, 1, Priority.NORMAL, at + 900, at + 1000)], now=at + 1500)
        sequences = order_range.sequences
        done = [Done(sequence, 1, at + 9000) for sequence in sequences if sequence % 100]
        failures = [Failure(one, 1, at + 9000, "no stock", None) for one in sequences if one % 100 == 0]
        await work.advance("w", done=done, failures=failures, now=at + 9500)


def _sizes(files: StoreFiles) -> dict[str, int]:
    paths = {"orders.db": files.orders, "orders-progress.db": files.progress}
    found = {name: path.stat().st_size for name, path in paths.items()}
    return {**found, "archive": sum(path.stat().st_size for path in files.archive.glob("*/*"))}


async def _simulate(folder: Path, *, days: int, orders: int, keep: int) -> None:
    files = StoreFiles(folder / "orders.db")
    store = SqliteOrderStore(files)
    await store.recover()
    work = SqliteWorkStore(files)
    archiving = tidying = 0.0
    for day in range(days):
        await _day(store, work, day, orders)
        if keep and day >= keep:
            began = time.perf_counter()
            with contextlib.closing(Archiver(files)) as archiver:
                archiver.archive_before(_START + (day - keep) * _DAY, lambda _: None)
            archiving += time.perf_counter() - began
        began = time.perf_counter()
        while await store.tidy():
            pass
        tidying += time.perf_counter() - began
        if day % 7 == 6 or day == days - 1:
            await store.advance_watermark()
            await work.close()
            await store.close()
            began = time.perf_counter()
            store = SqliteOrderStore(files)
            recovery = await store.recover()
            started = time.perf_counter() - began
            work = SqliteWorkStore(files)
            assert recovery.accepted == (day + 1) * orders, recovery.accepted
            assert sum(recovery.totals.values()) == recovery.accepted
            assert recovery.repair is None
            if day % 28 == 27 or day == days - 1:
                figures: dict[str, float] = {"day": day + 1, "orders": recovery.accepted, **_sizes(files)}
                figures |= {"start_s": round(started, 3), "archive_s": round(archiving, 1), "tidy_s": round(tidying, 1)}
                figures["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
                sys.stdout.flush()
    await work.close()
    await store.close()


def main() -> None:
    """Simulates, and prints the figures of every fourth week."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.retention", description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--orders-a-day", type=int, default=86_400, help="86,400 is one a second")
    parser.add_argument("--keep-days", type=int, default=30, help="KEEP_FINAL_DAYS; 0 keeps everything")
    options = parser.parse_args()
    os.nice(5)
    with tempfile.TemporaryDirectory(prefix="comanda-retention-") as folder:
        work = _simulate(Path(folder), days=options.days, orders=options.orders_a_day, keep=options.keep_days)
        asyncio.run(work)


if __name__ == "__main__":
    main()
