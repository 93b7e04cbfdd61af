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
"""Who users are: `nombre` and `email`."""

TASKS = Table(
    "Tasks",
    partition="id",
    indexes=(Index("by_time", sort="created"), Index("by_status", partition="status", sort="created")),
    feed=False,
)
"""Things to do; `status` is `open` or `done`."""

SECRETS = Table("Secrets", partition="name", feed=False)
"""What instances of a server have to agree on and nobody else may know."""


def corporate_data(name: str) -> Table:
    """Corporate data: every operation on it is recorded in the log beside it."""
    return Table(name, partition="id", indexes=(Index("by_id", sort="id"),))


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

OPEN = frozenset({SCORES.name, TASKS.name, USERS.name})
"""Tables that other services read and write as they like."""


class Tables(dict[str, Table]):
    """Tables by their names."""

    def __init__(self, *tables: Table) -> None:
        super().__init__({table.name: table for table in tables})

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
    return Tables(corporate_data(data), corporate_log(log), CHAINS, SCORES, SECRETS, TASKS, USERS)
