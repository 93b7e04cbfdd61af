"""Every table of the suite, declared in one place."""

from shared.domain.errors import InvalidParams
from shared.domain.records import Index, Table

SCORES = Table(
    "Scores",
    partition="user_id",
    numbers=frozenset({"user_id", "puntaje_maximo"}),
    indexes=(Index("ranking", sort="puntaje_maximo"),),
)

USERS = Table("Users", partition="user_id", numbers=frozenset({"user_id"}))
"""Who users are: `nombre` and `email`, and `fecha_registro`, since when."""

TASKS = Table(
    "Tasks",
    partition="id",
    indexes=(Index("by_time", sort="created"), Index("by_status", partition="status", sort="created")),
    feed=False,
)
"""Things to do; `status` is `open` or `done`."""

TASK_NUMBERS = Table("TaskNumbers", partition="name", feed=False)
"""Whole numbers of tasks, for programs that want such: `task:ID` has its `number`, `number:N` its `task`.

`last` has the last number that was given.
"""

STOCK = Table(
    "Stock",
    partition="store",
    sort="item",
    folded=frozenset({"store", "item"}),
    indexes=(Index("all", sort="store"), Index("by_item", partition="item", sort="store")),
)
"""How many there are of an item in a store: `count`; and `cause`, `reference` and `changed` of the last change."""

STORES = Table(
    "Stores", partition="store", folded=frozenset({"store"}), indexes=(Index("all", sort="store"),), feed=False
)
"""Sums over the items of each store, brought up to date behind `STOCK`: `items`, `units`, `low`."""

MOVEMENTS = Table("StockMovements", partition="ledger", sort="entry", folded=frozenset({"ledger"}), feed=False)
"""Every change of a count: `at`, `change`, `count`, `version` (of the item), `cause`, `reference`."""

IMPORTS = Table(
    "StockImports",
    partition="id",
    indexes=(
        Index("by_time", sort="received"),
        Index("by_state", partition="state", sort="received"),
        Index("staged", sort="begun"),
    ),
)
"""Files of stock that came in; one that is only staged has `begun` and no `received`."""

IMPORT_ROWS = Table("StockImportRows", partition="import", sort="number", numbers=frozenset({"number"}), feed=False)
"""The rows of an import in portions that are applied in one transaction each; `before` is what they replaced."""

IMPORT_FILES = Table("StockImportFiles", partition="digest", feed=False)
"""Which import a file is, by the SHA-256 of its bytes."""

ALERTS = Table(
    "StockAlerts",
    partition="store",
    sort="item",
    folded=frozenset({"store", "item"}),
    indexes=(Index("by_state", partition="state", sort="since"), Index("untold", sort="untold")),
)
"""The last alert of each item that was low: `number` counts them; `untold` until its message was published."""

RESERVATIONS = Table("StockReservations", partition="id", indexes=(Index("by_time", sort="at"),), feed=False)
"""What orders have taken: up to 256 neighbouring orders are one item, its members what was granted to some of them."""

INVENTORY = Table("InventoryState", partition="name", feed=False)
"""Up to where the inventory service has read what it follows, and the version of the catalogue of stocked items."""

REMOVALS = Table("Removals", partition="table", sort="bucket", numbers=frozenset({"bucket"}), feed=False)
"""The highest `version` that was removed from each table and bucket of keys: what is new there begins behind it.

Every store has it.
"""

SECRETS = Table("Secrets", partition="name", feed=False)
"""What instances of a server have to agree on and nobody else may know."""


def corporate_data(name: str) -> Table:
    """Corporate data: every operation on it is recorded in the log beside it."""
    return Table(name, partition="id", indexes=(Index("by_id", sort="id"),), own_key=True)


def corporate_log(name: str) -> Table:
    """The audit log: chains of entries, one chain for each server that writes; those of changes have a `record`."""
    return Table(
        name,
        partition="chain",
        sort="number",
        numbers=frozenset({"number"}),
        indexes=(
            Index("by_time", sort="timestamp"),
            Index("by_record", partition="record", sort="timestamp", rare=True),
        ),
        feed=False,
    )


CHAINS = Table("AuditChains", partition="chain", indexes=(Index("all", sort="chain"),), feed=False)
"""The last entry of each chain of the audit log."""

_INVENTORY = (STOCK, STORES, MOVEMENTS, IMPORTS, IMPORT_ROWS, IMPORT_FILES, ALERTS, RESERVATIONS, INVENTORY)

OPEN = frozenset(table.name for table in (SCORES, TASKS, TASK_NUMBERS, USERS, *_INVENTORY))
"""Tables that other services read and write as they like."""


class Tables(dict[str, Table]):
    """Tables by their names."""

    def __init__(self, *tables: Table) -> None:
        super().__init__({table.name: table for table in (*tables, REMOVALS)})

    def named(self, name: str) -> Table:
        """The table of this name. Raises InvalidParams."""
        try:
            return self[name]
        except KeyError:
            raise InvalidParams(
                f"there is no table {name!r}", field="table", hint=f"tables: {', '.join(sorted(self))}"
            ) from None


def suite_tables(data: str, log: str) -> Tables:
    """Every table of the persistence server; `data` and `log` name those of corporate data."""
    return Tables(
        corporate_data(data), corporate_log(log), CHAINS, SCORES, SECRETS, TASKS, TASK_NUMBERS, USERS, *_INVENTORY
    )
