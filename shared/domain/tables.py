"""Declarations of all tables of the suite."""

from shared.domain.errors import InvalidParams
from shared.domain.records import Index, Table

SCORES = Table(
    "Scores",
    partition="user_id",
    numbers=frozenset({"user_id", "puntaje_maximo"}),
    indexes=(Index("ranking", sort="puntaje_maximo"),),
)

USERS = Table("Users", partition="user_id", numbers=frozenset({"user_id"}))
"""Users: `nombre`, `email`, and `fecha_registro`, the time of registration."""

TASKS = Table(
    "Tasks",
    partition="id",
    indexes=(Index("by_time", sort="created"), Index("by_status", partition="status", sort="created")),
    feed=False,
)
"""Tasks; `status` is `open` or `done`."""

TASK_NUMBERS = Table("TaskNumbers", partition="name", feed=False)
"""Whole numbers of tasks, for programs that need them: `task:ID` has its `number`, `number:N` its `task`.

`last` has the last assigned number.
"""

STOCK = Table(
    "Stock",
    partition="store",
    sort="item",
    folded=frozenset({"store", "item"}),
    indexes=(Index("all", sort="store"), Index("by_item", partition="item", sort="store")),
)
"""Stock of an item in a store: its `count`, and `cause`, `reference` and `changed` of the last change."""

STORES = Table(
    "Stores", partition="store", folded=frozenset({"store"}), indexes=(Index("all", sort="store"),), feed=False
)
"""Sums over the items of each store, updated asynchronously after `STOCK`: `items`, `units`, `low`."""

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
"""Imported files of stock; one that is only staged has `begun` and no `received`."""

IMPORT_ROWS = Table("StockImportRows", partition="import", sort="number", numbers=frozenset({"number"}), feed=False)
"""Rows of an import in chunks, each applied in one transaction; `before` has the replaced values."""

IMPORT_FILES = Table("StockImportFiles", partition="digest", feed=False)
"""The import of each file, by the SHA-256 of its bytes."""

ALERTS = Table(
    "StockAlerts",
    partition="store",
    sort="item",
    folded=frozenset({"store", "item"}),
    indexes=(Index("by_state", partition="state", sort="since"), Index("untold", sort="untold")),
)
"""The last alert of each item that was low: `number` counts them; `untold` until its message was published."""

RESERVATIONS = Table("StockReservations", partition="id", indexes=(Index("by_time", sort="at"),), feed=False)
"""Stock reserved by orders: an item for up to 256 neighbouring orders, with the granted quantities as members."""

INVENTORY = Table("InventoryState", partition="name", feed=False)
"""Positions of the inventory service in its feeds, and the version of its index of stocked items."""

REMOVALS = Table("Removals", partition="table", sort="bucket", numbers=frozenset({"bucket"}), feed=False)
"""The highest removed `version` by table and bucket of keys; versions of new records begin after it.

Every store has it.
"""

TENANTS = Table("Tenants", partition="tenant", indexes=(Index("all", sort="tenant"),))
"""Tenants with their settings (`shared.domain.tenants.TenantRecord`); all of them belong to the tenant `main`."""

ACCOUNTS = Table(
    "Accounts",
    partition="user",
    numbers=frozenset({"shard"}),
    indexes=(Index("by_shard", partition="shard", sort="user"),),
)
"""Accounts of users (UUIDv7), without secrets: `email`, `first_name`, `last_name`, `preferences` (`categories` and
`language`), `roles`, `active`, `created_at`, `updated_at`, `generation`, and `shard` (0 to 15), which spreads an
index of all accounts over partitions."""

CREDENTIALS = Table("Credentials", partition="user", feed=False)
"""Password hashes of accounts: `hash` and `changed`."""

ACCOUNT_EMAILS = Table("AccountEmails", partition="email", feed=False)
"""Claims of e-mail addresses in normal form: the `user` of each. They make addresses unique."""

SESSIONS = Table("Sessions", partition="user", sort="session", feed=False, expires="expires")
"""Sessions of accounts, as `clients.accounts.sessions.Session` has them; `secret` is a digest."""

PASSWORD_RESETS = Table("PasswordResets", partition="digest", feed=False, expires="expires")
"""Requested password resets by the digest of their token: `user`, and the `generation` of the account."""

API_KEYS = Table("ApiKeys", partition="key", indexes=(Index("all", sort="key"),), feed=False, expires="expires")
"""API keys of programs: `digest`, `name`, `role`, `created_at` and `created_by`."""

LOGIN_FAILURES = Table("LoginFailures", partition="subject", feed=False, expires="expires")
"""Failed sign-ins, by a digest of the account or of account and network: `count`, and `last` in Unix milliseconds."""

BOOKS = Table(
    "Books",
    partition="book",
    numbers=frozenset({"shard"}),
    indexes=(Index("by_shard", partition="shard", sort="listed"),),
)
"""Books of a shop (`shared.domain.books.Book`). `listed` is the id of a book that was not deleted: the index over all
listed books, oldest first in each of its partitions, rebuilds what is derived from them."""

BOOK_ISBNS = Table("BookIsbns", partition="isbn", feed=False)
"""Claims of books: the `book` of each ISBN, which makes ISBNs unique in a shop.

A book that was loaded without an ISBN claims its title, author and year.
"""

BOOK_LOADS = Table("BookLoads", partition="load", indexes=(Index("by_time", sort="begun"),), feed=False)
"""Loaded files of books, by the SHA-256 of their bytes: `name`, `begun`, `state`, and the counts of their rows."""

BOOK_LOAD_ROWS = Table("BookLoadRows", partition="load", sort="chunk", feed=False)
"""The `books` that a load has added, in chunks (UUIDv7) that were each added in one transaction."""

FAVORITES = Table(
    "Favorites", partition="user", sort="book", indexes=(Index("by_time", partition="user", sort="added_at"),)
)
"""Favourite books of users: `added_at`."""

WISHES = Table(
    "Wishes",
    partition="user",
    sort="book",
    indexes=(Index("by_rank", partition="user", sort="rank"), Index("by_book", partition="book", sort="user")),
)
"""Wishlists of users: `added_at`, `priority` (1 is the most wanted), `price_when_added` in minor units, and `rank`, the
priority and the time, which sorts them."""

NOTICES = Table("Notices", partition="user", sort="notice", feed=False, expires="expires")
"""Notices to users about books of their wishlists (`shared.domain.notices.Notice`), by ids that sort by time."""

CARTS = Table("Carts", partition="user", feed=False, expires="expires")
"""Carts by their owner (`shared.domain.carts`): a member for each line, and the number of `lines`. Those of guests have
`expires`. A cart has no prices of its own but those of the time when its lines were added."""

CHECKOUTS = Table("Checkouts", partition="user", sort="key", feed=False, expires="expires")
"""Idempotency keys of checkouts: the `purchase` that a user made with a key, and the `digest` of the request."""

PURCHASES = Table(
    "Purchases",
    partition="user",
    sort="purchase",
    indexes=(
        Index("by_status", partition="user_status", sort="purchase"),
        Index("by_day", partition="day", sort="purchase"),
        Index("pending", partition="pending", sort="purchase"),
    ),
)
"""Purchases of users (`shared.domain.purchases.Purchase`), by ids that sort by time. `user_status` joins user and
status, `day` has one of 16 shards of a day, and `pending`, which only pending purchases have, one of 16 shards."""

SHOP_STATE = Table("ShopState", partition="name", feed=False)
"""State of a shop. `books` has the last assigned `seq` of a book, and the number of `listed` books."""

SECRETS = Table("Secrets", partition="name", feed=False)
"""Secrets that the instances of a server share."""


def corporate_data(name: str) -> Table:
    """Returns the table of corporate data; the audit log records every operation on it."""
    return Table(name, partition="id", indexes=(Index("by_id", sort="id"),), own_key=True)


def corporate_log(name: str) -> Table:
    """Returns the table of the audit log: a chain of entries per writing server; entries of changes have `record`."""
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

_SHOP = (
    BOOKS,
    BOOK_ISBNS,
    BOOK_LOADS,
    BOOK_LOAD_ROWS,
    FAVORITES,
    WISHES,
    NOTICES,
    CARTS,
    CHECKOUTS,
    PURCHASES,
    SHOP_STATE,
)

_PRIVATE = (CREDENTIALS, ACCOUNT_EMAILS, SESSIONS, PASSWORD_RESETS, API_KEYS, LOGIN_FAILURES)

OPEN = frozenset(table.name for table in (SCORES, TASKS, TASK_NUMBERS, USERS, TENANTS, ACCOUNTS, *_INVENTORY, *_SHOP))
"""Tables that other services may read and write freely."""

PRIVATE = frozenset(table.name for table in _PRIVATE)
"""Tables that other services may read and write only over authenticated connections; none is in the change feed."""


class Tables(dict[str, Table]):
    """Tables by name."""

    def __init__(self, *tables: Table) -> None:
        super().__init__({table.name: table for table in (*tables, REMOVALS)})

    def get_table(self, name: str) -> Table:
        """Returns the table of this name. Raises InvalidParams."""
        try:
            return self[name]
        except KeyError:
            raise InvalidParams(
                f"there is no table {name!r}", field="table", hint=f"tables: {', '.join(sorted(self))}"
            ) from None


def suite_tables(data: str, log: str) -> Tables:
    """Returns all tables of the persistence server; `data` and `log` name those of corporate data."""
    return Tables(
        corporate_data(data),
        corporate_log(log),
        CHAINS,
        SCORES,
        SECRETS,
        TASKS,
        TASK_NUMBERS,
        USERS,
        TENANTS,
        ACCOUNTS,
        *_PRIVATE,
        *_INVENTORY,
        *_SHOP,
    )
