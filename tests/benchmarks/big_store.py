"""Makes the files of an intake with millions of orders by SQL: `python -m tests.benchmarks.big_store DIR`.

`Cliente N` has placed the orders whose sequence is N modulo the number of customers; `Única` has placed the very first.
One order in a hundred is `fallido`, and one in five hundred `cancelado`. With `--waiting` so many newer orders wait,
and the very first one does until 2099.
"""

import argparse
import asyncio
import time
from pathlib import Path

from shared.stores.sqlite.database import Writer, migrate
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.orders import SqliteOrderStore

_CHUNK = 500_000
_TURN = 500
_NUMBERS = "WITH RECURSIVE n (i) AS (VALUES (?1) UNION ALL SELECT i + 1 FROM n WHERE i < ?2)"
_ORDERS = f"""
{_NUMBERS}
INSERT INTO orders (sequence, received, document) SELECT i, ?3 + i * 100, printf(
    '{{"cliente":"%s","productos":["pan","leche"],"direccion":"Av. Siempre Viva %d"}}',
    CASE i WHEN 1 THEN 'Única' ELSE 'Cliente ' || (i % ?4) END, i % 1000) FROM n"""
_STATE = "CASE WHEN i % 500 = 7 THEN 4 WHEN i % 100 = 7 THEN 3 ELSE 2 END"
_PROGRESS = f"""
{_NUMBERS}
INSERT INTO progress (sequence, state, attempt, worker, stored, queued, started, finished, detail)
SELECT i, {_STATE}, 1, 'w1-1', ?3 + i * 100 + 50, ?3 + i * 100 + 60, ?3 + i * 100 + 70, ?3 + i * 100 + 90,
    CASE {_STATE} WHEN 3 THEN 'RuntimeError: no flour' END FROM n"""
_MOVES = f"""
{_NUMBERS}
INSERT INTO moves (at, last, moves) SELECT ?3 + i * 100, min(i + {_TURN - 1}, ?2), json_object(
    'done', json_array(json_array(i, min({_TURN}, ?2 - i + 1))),
    'started', json_array(json_array(i, min({_TURN}, ?2 - i + 1)))) FROM n WHERE (i - ?1) % {_TURN} = 0"""


_WAITING = f"""
{_NUMBERS}
INSERT INTO orders (sequence, received, document) SELECT i, ?3 + i * 100,
    '{{"cliente":"Ana","productos":["pan"],"direccion":"Mayor 1"}}' FROM n"""
_DELAY_FIRST = "UPDATE orders SET due = 4070908800000000 WHERE sequence = 1"
_BEGIN_FIRST_AGAIN = "UPDATE progress SET state = 0 WHERE sequence = 1"


def make_big_store(files: StoreFiles, orders: int, *, customers: int, waiting: int = 0) -> None:
    """Fills new files with `orders` orders of the last days, all of them final unless some are `waiting`."""
    files.orders.parent.mkdir(parents=True, exist_ok=True)
    accepted, worked = Writer(files.orders), Writer(files.progress)
    migrate(accepted.connection, files.orders, "orders")
    migrate(worked.connection, files.progress, "progress")
    began = time.time_ns() // 1000 - orders * 100
    for first in range(1, orders + 1, _CHUNK):
        last = min(first + _CHUNK - 1, orders)
        with accepted.transaction(_CHUNK) as connection:
            connection.execute(_ORDERS, (first, last, began, customers))
        with worked.transaction(_CHUNK) as connection:
            connection.execute(_PROGRESS, (first, last, began))
            connection.execute(_MOVES, (first, last, began))
    if waiting:
        with accepted.transaction(waiting) as connection:
            connection.execute(_WAITING, (orders + 1, orders + waiting, began))
            connection.execute(_DELAY_FIRST)
    with worked.transaction(1) as connection:
        if waiting:
            connection.execute(_BEGIN_FIRST_AGAIN)
            orders = 0
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('settled', ?)", (orders,))
        connection.execute("UPDATE totals SET orders = (SELECT count(*) FROM progress p WHERE p.state = totals.state)")
    accepted.close()
    worked.close()
    if waiting:
        asyncio.run(_settle(files))


async def _settle(files: StoreFiles) -> None:
    """Leaves the files as an intake does that was stopped."""
    store = SqliteOrderStore(files)
    await store.recover()
    await store.close()


def main() -> None:
    """Reads the command line and fills the folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.big_store", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new DATA_DIR")
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=0)
    options = parser.parse_args()
    make_big_store(
        StoreFiles(options.folder / "orders.db"), options.orders, customers=options.customers, waiting=options.waiting
    )


if __name__ == "__main__":
    main()
