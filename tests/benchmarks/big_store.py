"""Makes the files of an intake with millions of final orders by SQL: `python -m tests.benchmarks.big_store DIR`.

`Cliente N` has placed the orders whose sequence is N modulo the number of customers; `Única` has placed the very first.
One order in a hundred is `fallido`, and one in five hundred `cancelado`.
"""

import argparse
import time
from pathlib import Path

from shared.stores.sqlite.database import Writer, migrate
from shared.stores.sqlite.files import Files

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


def make_big_store(files: Files, orders: int, *, customers: int) -> None:
    """Fills new files with `orders` final orders of the last days."""
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
    with worked.transaction(1) as connection:
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('settled', ?)", (orders,))
        connection.execute("UPDATE totals SET orders = (SELECT count(*) FROM progress p WHERE p.state = totals.state)")
    accepted.close()
    worked.close()


def main() -> None:
    """Reads the command line and fills the folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.big_store", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new DATA_DIR")
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=100_000)
    options = parser.parse_args()
    make_big_store(Files(options.folder / "orders.db"), options.orders, customers=options.customers)


if __name__ == "__main__":
    main()
