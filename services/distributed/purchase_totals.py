"""Purchase statistics of all tenants: purchases by status, and sales by currency."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from shared.domain.money import to_decimal
from shared.domain.purchases import Purchase
from shared.stores.sqlite.database import Connection

_STATUS: Final = "compras "
_SALES: Final = "ventas "
_NAMES: Final = {"pending": "pendientes", "completed": "completadas", "cancelled": "canceladas"}
_ADD_COUNT = "INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"


class PurchaseTotals:
    """The purchase statistics in the service's file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def count_change(self, old: Purchase | None, new: Purchase | None) -> None:
        """Counts a change within the caller's transaction."""
        if old is not None and new is not None and old.status == new.status:
            return
        counts: Counter[str] = Counter()
        for purchase, sign in ((old, -1), (new, 1)):
            if purchase is not None:
                _add_purchase(counts, purchase, sign)
        self._add(counts)

    def count_purchases(self, purchases: Iterable[Purchase]) -> None:
        """Counts stored purchases within the caller's transaction, after `reset`."""
        counts: Counter[str] = Counter()
        for purchase in purchases:
            _add_purchase(counts, purchase, 1)
        self._add(counts)

    def reset(self) -> None:
        """Deletes all counts within the caller's transaction."""
        self._connection.execute("DELETE FROM counts WHERE name GLOB ? OR name GLOB ?", (f"{_STATUS}*", f"{_SALES}*"))

    def describe(self) -> dict[str, Any]:
        """Returns the statistics as clients get them."""
        counts = dict(self._connection.execute("SELECT name, value FROM counts").fetchall())
        statuses = {shown: max(counts.get(_STATUS + status, 0), 0) for status, shown in _NAMES.items()}
        sales: dict[str, Decimal] = {}
        for name, value in sorted(counts.items()):
            if name.startswith(_SALES):
                currency, digits = name.removeprefix(_SALES).split()
                sales[currency] = sales.get(currency, Decimal(0)) + to_decimal(value, int(digits))
        return {**statuses, "ventas": [{"moneda": name, "importe": amount} for name, amount in sales.items()]}

    def _add(self, counts: Counter[str]) -> None:
        rows = [(name, value) for name, value in counts.items() if value]
        self._connection.executemany(_ADD_COUNT, rows)


def _add_purchase(counts: Counter[str], purchase: Purchase, sign: int) -> None:
    counts[_STATUS + purchase.status] += sign
    if purchase.status == "completed":
        counts[f"{_SALES}{purchase.currency} {purchase.exponent}"] += sign * purchase.total
