"""Order statistics: counts by state and by minute, durations and products."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shared.domain.names import name_key
from shared.domain.orders import iso_time
from shared.domain.quantiles import Quantiles
from shared.domain.states import State
from shared.runtime.clock import read_clock
from shared.stores.ports.feeds import OrderStateChange
from shared.stores.sqlite.database import Connection

_MINUTE = 60_000_000
_HOUR = 60 * _MINUTE
_MINUTES_SHOWN = 60
_MINUTES_KEPT = 24 * 60
_TOP = 10
_ADD_COUNT = "INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"
_ADD_MINUTE = """
INSERT INTO minutes VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, finished = finished + excluded.finished"""
_ADD_DURATION = """
INSERT INTO durations VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET orders = orders + excluded.orders"""
_ADD_PRODUCT = """
INSERT INTO products (name, orders, units, shown) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET orders = orders + excluded.orders, units = units + excluded.units"""
_RAREST = "SELECT name, orders, units FROM products ORDER BY orders LIMIT ?"
_REMOVE_PRODUCT = "DELETE FROM products WHERE name = ?"
# Others wait for this many: some milliseconds.
_FOLDED_AT_ONCE = 1000
# So that not every new product is followed by a look for the rarest one.
_FOLDED_SHARE = 10
_MOST_UNITS = 2**62
_OTHERS = {"productos": "otros productos", "pedidos": "otros pedidos", "unidades": "otras unidades"}
"""Members of the response for products that are not counted by name, and the names of their counts."""
ACCEPTED = "aceptados"


class OrderTotals:
    """The order statistics in the service's file; up to `max_products` are counted by name."""

    def __init__(self, connection: Connection, *, max_products: int) -> None:
        self._connection = connection
        self._max_products = max_products
        self._excess = 0
        """Number of products that are still to be merged into the others."""

    def count_events(self, events: Iterable[OrderStateChange]) -> None:
        """Counts events within the caller's transaction."""
        counts: Counter[str] = Counter()
        minutes: dict[int, list[int]] = {}
        durations: Counter[tuple[int, str, int]] = Counter()
        orders: Counter[str] = Counter()
        units: Counter[str] = Counter()
        for event in events:
            if event.transition.source is None:
                counts[ACCEPTED] += event.orders
                minutes.setdefault(event.at // _MINUTE, [0, 0])[0] += event.orders
                for name, (count, quantity) in event.products.items():
                    orders[name] += count
                    units[name] += quantity
            else:
                counts[event.transition.source.value] -= event.orders
            counts[event.transition.target.value] += event.orders
            if event.transition.target is State.DONE:
                minutes.setdefault(event.at // _MINUTE, [0, 0])[1] += event.orders
                for kind, times in (("waiting", event.waiting), ("processing", event.processing)):
                    for bucket, count in times.items():
                        durations[event.at // _HOUR, kind, bucket] += count
        write = self._connection.executemany
        write(_ADD_COUNT, [(name, value) for name, value in counts.items() if value])
        write(_ADD_MINUTE, [(minute, *both) for minute, both in minutes.items()])
        write(_ADD_DURATION, [(*key, count) for key, count in durations.items()])
        write(_ADD_PRODUCT, [_product_row(name, count, units[name]) for name, count in orders.items()])

    def fold_products(self) -> None:
        """Merges rows from before names had a normal form, within the caller's transaction."""
        found = self._connection.execute("SELECT name, orders, units FROM products WHERE shown IS NULL").fetchall()
        self._connection.execute("DELETE FROM products WHERE shown IS NULL")
        self._connection.executemany(_ADD_PRODUCT, [_product_row(*row) for row in found])

    def reset(self) -> None:
        """Deletes all counts within the caller's transaction, before everything is counted again."""
        for state in (ACCEPTED, *State, *_OTHERS.values()):
            self._connection.execute("DELETE FROM counts WHERE name = ?", (str(state),))
        for table in ("minutes", "durations", "products"):
            self._connection.execute(f"DELETE FROM {table}")

    def set_totals(self, totals: Mapping[State | None, int]) -> None:
        """Sets the totals to count on from, after `reset` and in the same transaction."""
        rows = [(ACCEPTED if state is None else state.value, count) for state, count in totals.items()]
        self._connection.executemany(_ADD_COUNT, rows)

    def delete_expired(self) -> bool:
        """Deletes counts that are no longer shown, in the caller's transaction; returns whether there are more.

        These are minutes, hours, and the names of the products in the fewest orders where there are too many: such
        products are counted together, and one that comes back begins at 0.
        """
        now = read_clock()
        self._connection.execute("DELETE FROM minutes WHERE minute < ?", (now // _MINUTE - _MINUTES_KEPT,))
        self._connection.execute("DELETE FROM durations WHERE hour < ?", (now // _HOUR - 1,))
        if not self._excess:
            (count,) = self._connection.execute("SELECT count(*) FROM products").fetchone()
            if count > self._max_products:
                self._excess = count - self._max_products + self._max_products // _FOLDED_SHARE
        if self._excess:
            rows = self._connection.execute(_RAREST, (min(self._excess, _FOLDED_AT_ONCE),)).fetchall()
            self._connection.executemany(_REMOVE_PRODUCT, [(name,) for name, _, _ in rows])
            sums = (len(rows), sum(orders for _, orders, _ in rows), sum(units for _, _, units in rows))
            self._connection.executemany(_ADD_COUNT, list(zip(_OTHERS.values(), sums, strict=True)))
            self._excess -= len(rows)
        return self._excess > 0

    def describe(self) -> dict[str, Any]:
        """Returns the statistics as clients get them."""
        select = self._connection.execute
        now = read_clock()
        counts = dict(select("SELECT name, value FROM counts").fetchall())
        shown = select(
            "SELECT minute, accepted, finished FROM minutes WHERE minute > ? ORDER BY minute",
            (now // _MINUTE - _MINUTES_SHOWN,),
        )
        top = select("SELECT shown, orders, units FROM products ORDER BY orders DESC LIMIT ?", (_TOP,))
        times = select(
            "SELECT kind, bucket, sum(orders) FROM durations WHERE hour >= ? GROUP BY kind, bucket", (now // _HOUR - 1,)
        ).fetchall()
        return {
            ACCEPTED: counts.get(ACCEPTED, 0),
            "por_estado": {state.value: counts.get(state.value, 0) for state in State},
            "por_minuto": [
                {"minuto": iso_time(minute * _MINUTE), "aceptados": accepted, "terminados": finished}
                for minute, accepted, finished in shown
            ],
            "espera_ms": _compute_percentiles(times, "waiting"),
            "proceso_ms": _compute_percentiles(times, "processing"),
            "productos": [{"producto": name, "pedidos": orders, "unidades": units} for name, orders, units in top],
            "otros_productos": {member: counts.get(name, 0) for member, name in _OTHERS.items()},
        }


def _product_row(name: str, orders: int, units: int) -> tuple[str, int, int, str]:
    """Returns the row to add for a product: the normal form of its name, and the name as it is shown."""
    return name_key(name), orders, min(units, _MOST_UNITS), name


def _compute_percentiles(rows: Iterable[tuple[str, int, int]], kind: str) -> Mapping[str, float | None]:
    times = Quantiles()
    times.merge({bucket: orders for of, bucket, orders in rows if of == kind})
    found = {"p50": times.estimate_quantile(0.5), "p95": times.estimate_quantile(0.95)}
    return {name: None if value is None else round(value / 1000, 3) for name, value in found.items()}
