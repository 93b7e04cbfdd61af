"""Runs the benchmark: `make bench`, or `python -m tests.benchmarks --rounds 1 --seconds 1` for a look."""

import argparse
import sys
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.dashboard import dashboard
from tests.benchmarks.dashboard import missing as dashboard_misses
from tests.benchmarks.driver import drive
from tests.benchmarks.dynamodb import dynamodb
from tests.benchmarks.events import events
from tests.benchmarks.gateway import gateway
from tests.benchmarks.gateway import missing as gateway_misses
from tests.benchmarks.inventory import inventory
from tests.benchmarks.peers import Beanstalkd, Comanda, FastApiService, Peer, RedisStreams, sample_orders
from tests.benchmarks.records import records
from tests.benchmarks.trials import end_to_end, footprint

# Windows that say something of each peer: beanstalkd and FastAPI take one commit a request, whatever is in flight.
WINDOWS: dict[type[Peer], tuple[int, ...]] = {
    Comanda: (1, 32),
    RedisStreams: (1, 32),
    Beanstalkd: (1,),
    FastApiService: (1,),
}


def main() -> int:
    """Measures, prints and writes the report. Gives 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each drive")
    parser.add_argument("--orders", type=int, default=1_000_000, help="orders to follow to the end")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    peers = [kind for kind in WINDOWS if _available(kind)]
    orders = sample_orders()
    rates: dict[tuple[str, int], list[float]] = {(kind.name, window): [] for kind in peers for window in WINDOWS[kind]}
    for number in range(options.rounds):
        for kind in peers:
            for window in WINDOWS[kind]:
                rate = _accept(kind, orders, window, options.seconds)
                rates[kind.name, window].append(rate)
                _say(f"round {number + 1}: {kind.name}, {window} in flight: {rate:,.0f} orders/s")
    ends = [end_to_end(orders, options.orders)]
    _say(f"end to end: {ends[0].rate:,.0f} orders/s")
    foot = footprint(options.idle)
    kept = records(options.rounds, options.seconds)
    told = events(options.rounds, options.seconds, orders)
    if (needed := gateway_misses()) is not None:
        _say(f"HTTP is left out: it needs {needed}")
    asked = None if needed else gateway(options.rounds, options.seconds, orders)
    stock = None if needed else inventory(options.rounds, options.seconds, orders, options.orders)
    if (absent := dashboard_misses()) is not None:
        _say(f"the dashboard is left out: it needs {absent}")
    page = None if absent else dashboard(10 * options.seconds)
    on_dynamodb = dynamodb(options.rounds, options.seconds, orders)
    figures = report.Figures(rates, ends, foot, kept, on_dynamodb, told, asked, stock, page)
    _say("\n" + report.write(figures, options.json))
    return 0 if all(bar.met for bar in report.bars(figures)) else 1


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


def _available(kind: type[Peer]) -> bool:
    if (missing := kind.missing()) is not None:
        _say(f"{kind.name} is left out: it needs {missing}")
        return False
    return True


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
