"""Runs the benchmark: `make bench`, or `python -m tests.benchmarks --rounds 1 --seconds 1` for a look."""

import argparse
import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.accounts import accounts
from tests.benchmarks.bars import Figures, bars
from tests.benchmarks.dashboard import dashboard
from tests.benchmarks.dashboard import missing as dashboard_misses
from tests.benchmarks.driver import drive
from tests.benchmarks.dynamodb import dynamodb
from tests.benchmarks.dynamodb_rush import dynamodb_rush
from tests.benchmarks.events import events
from tests.benchmarks.gateway import gateway
from tests.benchmarks.gateway import missing as gateway_misses
from tests.benchmarks.inventory import inventory
from tests.benchmarks.lake import measure_lake
from tests.benchmarks.peers import Beanstalkd, Comanda, FastApiService, Peer, RedisStreams, sample_orders
from tests.benchmarks.records import records
from tests.benchmarks.recovery import big_start, recovery
from tests.benchmarks.runs import Run
from tests.benchmarks.search import measure_search
from tests.benchmarks.shop import shop
from tests.benchmarks.shop_rush import shop_rush
from tests.benchmarks.shop_sales import shop_sales
from tests.benchmarks.shop_search import shop_search
from tests.benchmarks.trials import end_to_end, footprint
from tests.support.dynamodb import DynamoServer

# Windows that say something of each peer: beanstalkd and FastAPI take one commit a request, whatever is in flight.
WINDOWS: dict[type[Peer], tuple[int, ...]] = {
    Comanda: (1, 32),
    RedisStreams: (1, 32),
    Beanstalkd: (1,),
    FastApiService: (1,),
}


def main() -> int:
    """Measures, prints and writes the report. Returns 1 when a bar is missed, or a part could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each drive")
    parser.add_argument("--orders", type=int, default=1_000_000, help="orders to follow to the end")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--json", type=Path, default=report.FIGURES, help="figures go here")
    options = parser.parse_args()
    run = Run()
    figures = _measure(run, options.rounds, options.seconds, options.orders, options.idle)
    text, place = report.write(figures, options.json)
    run.say(f"the figures\n\n{text}")
    if place != report.DOC:
        run.say(f"{report.DOC} has rows that this run lacks, and is left as it is; this run is in {place}")
    for fault in run.faults:
        run.say(f"not measured: {fault}")
    return 0 if all(bar.met for bar in bars(figures)) and not run.faults else 1


def _measure(run: Run, rounds: int, seconds: float, number: int, idle: int) -> Figures:
    needed, absent, dynamo_needs = gateway_misses(), dashboard_misses(), DynamoServer.missing()
    run.say_missing((kind.name, kind.missing()) for kind in WINDOWS)
    run.say_missing(
        [
            ("HTTP", needed),
            ("the bookstore", needed),
            ("stock", needed),
            ("the dashboard", absent),
            ("DynamoDB", dynamo_needs),
        ]
    )
    orders = sample_orders()
    rates: dict[tuple[str, int], list[float]] = {}
    parts: dict[str, Any] = {}
    with run:
        _measure_rates(run, rates, orders, rounds, seconds)
        parts["end"] = run.measure("end to end", lambda: end_to_end(orders, number))
        parts["foot"] = run.measure("start and idle connections", lambda: footprint(idle))
        parts["recovered"] = run.measure("a start with orders waiting", lambda: recovery(50_000, 2000))
        # A minute, most of which makes the store.
        parts["big"] = run.measure("a start with ten million orders", lambda: big_start(10_000_000, 50_000))
        parts["kept"] = run.measure("records", lambda: records(rounds, seconds))
        parts["told"] = run.measure("events", lambda: events(rounds, seconds, orders))
        if needed is None:
            parts["asked"] = run.measure("HTTP", lambda: gateway(rounds, seconds, orders))
            parts["shop"] = run.measure("the bookstore", lambda: shop(rounds, seconds))
            parts["rush"] = run.measure("a rush on one book", lambda: shop_rush(rounds))
            parts["sold"] = run.measure("carts and checkouts", lambda: shop_sales(rounds, seconds))
            parts["searched"] = run.measure("the search of books", lambda: shop_search(rounds, seconds))
            parts["stock"] = run.measure("stock", lambda: inventory(rounds, seconds, orders, number))
        parts["lake"] = run.measure("the analytics lake", lambda: measure_lake(1_000_000, 10_000_000))
        parts["search_times"] = run.measure("the search index", lambda: measure_search(100_000, None))
        parts["accounts"] = run.measure("accounts", accounts)
        if absent is None:
            parts["page"] = run.measure("the dashboard", lambda: dashboard(10 * seconds))
        if dynamo_needs is None:
            parts["dynamo"] = run.measure("DynamoDB", lambda: dynamodb(rounds, seconds, orders))
            parts["dynamo_rush"] = run.measure("a rush on DynamoDB", lambda: dynamodb_rush(rounds))
    return Figures(rates, **parts)


def _measure_rates(
    run: Run, rates: dict[tuple[str, int], list[float]], orders: list[bytes], rounds: int, seconds: float
) -> None:
    """Adds to `rates` in alternating rounds; a peer that fails takes no further part."""
    peers = [kind for kind in WINDOWS if kind.missing() is None]
    for number, peer in itertools.product(range(rounds), tuple(peers)):
        for window in WINDOWS[peer] if peer in peers else ():
            name = f"round {number + 1}: {peer.name}, {window} in flight"
            rate = run.measure(name, partial(_accept, peer, orders, window, seconds))
            if rate is None:
                peers.remove(peer)
                break
            rates.setdefault((peer.name, window), []).append(rate)
            run.say(f"{rate:,.0f} orders/s")


def _accept(kind: type[Peer], orders: list[bytes], window: int, seconds: float) -> float:
    if kind is Comanda:
        # One order in each worker's hands for as long as this takes, all others waiting.
        peer: Peer = Comanda(
            ORDER_HANDLER="workers.handlers:wait",
            PROCESSING_SECONDS="3600",
            WORKER_CONCURRENCY="1",
            SHUTDOWN_SECONDS="1",
        )
    else:
        peer = kind()
    with peer.running():
        return drive(peer.port, peer.dialect(orders), connections=50, window=window, seconds=seconds).rate


if __name__ == "__main__":
    sys.exit(main())
