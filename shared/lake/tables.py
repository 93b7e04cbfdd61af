"""The tables of the lake. Arrow schemas, the statements of Glue and the views of DuckDB are made from them.

Columns are only ever added: a file without a column has NULL in it. A column never changes its type.
"""

from typing import Final, Literal

from msgspec import Struct

Kind = Literal["text", "whole", "money", "number", "flag", "time", "rows"]
"""The type of a column: `money` is a decimal number with two decimals, `time` is in UTC, `rows` is a list of rows."""

SCHEMA_VERSION: Final = 1
"""The number of the schema in each file. It grows with each column that is added."""
PARTITIONS: Final = ("year", "month", "day")
"""The columns that folders have, as text."""
FORGOTTEN: Final = "forgotten"
"""The user of rows whose user was forgotten."""
ORDER_TENANT: Final = "main"
"""The tenant of all orders of the intake."""


class Column(Struct, frozen=True):
    """A column of a table."""

    name: str
    kind: Kind
    description: str = ""
    fields: tuple["Column", ...] = ()
    """The columns of `rows`."""


class LakeTable(Struct, frozen=True, kw_only=True):
    """A table: Parquet files, one for each day, or a single one."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """The columns that identify a row, in the order in which a file is sorted."""
    daily: bool = True
    """Whether there is a file for each day (UTC); else there is one file."""
    events: str | None = None
    """The folder of its events: JSON lines, from which its files are made."""
    user: str | None = None
    """The column with the user of a row."""

    def list_columns(self) -> list[str]:
        """Returns the names of its columns, including those of folders."""
        return [column.name for column in self.columns] + (list(PARTITIONS) if self.daily else [])


_LINE: Final = (
    Column("book_id", "text"),
    Column("title", "text", "As it was at the sale"),
    Column("author", "text"),
    Column("category", "text"),
    Column("quantity", "whole"),
    Column("unit_price", "money"),
    Column("subtotal", "money", "The price of the line with its tax"),
    Column("tax", "money"),
)

PURCHASES: Final = LakeTable(
    name="purchases",
    description="Purchases of the shop, one row each, in the folder of the day of their creation",
    key=("purchase_id",),
    events="purchase_events",
    user="user_id",
    columns=(
        Column("purchase_id", "text"),
        Column("user_id", "text"),
        Column("status", "text", "pending, completed or cancelled"),
        Column("payment_method", "text"),
        Column("total_amount", "money", "With tax"),
        Column("tax", "money"),
        Column("currency", "text"),
        Column("created_at", "time"),
        Column("updated_at", "time"),
        Column("order_id", "text", "The order that fulfils it"),
        Column("reason", "text", "The reason of its cancellation"),
        Column("version", "whole"),
        Column("schema", "whole"),
        Column("items", "rows", "Its lines; see purchase_lines", _LINE),
    ),
)

PURCHASE_LINES: Final = LakeTable(
    name="purchase_lines",
    description="The lines of purchases, one row each, without the totals of their purchase",
    key=("purchase_id", "line"),
    user="user_id",
    columns=(
        Column("purchase_id", "text"),
        Column("line", "whole", "Its place in the purchase, from 1 on"),
        Column("user_id", "text"),
        Column("status", "text", "That of the purchase"),
        Column("currency", "text"),
        Column("created_at", "time", "That of the purchase"),
        *_LINE,
        Column("schema", "whole"),
    ),
)

BOOKS: Final = LakeTable(
    name="books",
    description="The books of the catalogue, as they are now",
    key=("book_id",),
    daily=False,
    columns=(
        Column("book_id", "text"),
        Column("isbn", "text"),
        Column("title", "text"),
        Column("author", "text"),
        Column("editorial", "text"),
        Column("category", "text"),
        Column("subcategory", "text"),
        Column("price", "money"),
        Column("currency", "text"),
        Column("publication_year", "whole"),
        Column("language", "text"),
        Column("rating", "number"),
        Column("ratings", "whole"),
        Column("created_at", "time"),
        Column("version", "whole"),
        Column("schema", "whole"),
    ),
)

STOCK_MOVEMENTS: Final = LakeTable(
    name="stock_movements",
    description="Every change of a count of stock",
    key=("store", "item", "at", "version"),
    events="stock_events",
    columns=(
        Column("store", "text"),
        Column("item", "text", "An item, or the id of a book"),
        Column("at", "time"),
        Column("version", "whole"),
        Column("change", "whole"),
        Column("count", "whole", "The count after the change"),
        Column("cause", "text"),
        Column("reference", "text", "The import, the order or the purchase"),
        Column("schema", "whole"),
    ),
)

SCORES: Final = LakeTable(
    name="scores",
    description="Every saved score",
    key=("user_id", "version"),
    events="score_events",
    user="user_id",
    columns=(
        Column("user_id", "text"),
        Column("at", "time"),
        Column("version", "whole"),
        Column("best_score", "whole", "The user's best score after it"),
        Column("games", "whole", "The number of the user's games"),
        Column("is_record", "flag"),
        Column("schema", "whole"),
    ),
)

ORDER_STEPS: Final = LakeTable(
    name="order_steps",
    description="Every step of every order, in the folder of the day of its receipt",
    key=("order_id", "at", "rank"),
    events="order_events",
    user="customer",
    columns=(
        Column("order_id", "text"),
        Column("event", "text", "The name of the event"),
        Column("state", "text", "The state after it"),
        Column("at", "time"),
        Column("customer", "text"),
        Column("detail", "text", "The error of a failed attempt"),
        Column("rank", "whole", "The order of steps of one moment"),
        Column("schema", "whole"),
    ),
)

ORDERS: Final = LakeTable(
    name="orders",
    description="Orders, one row each, in the folder of the day of their receipt",
    key=("order_id",),
    user="customer",
    columns=(
        Column("order_id", "text"),
        Column("customer", "text"),
        Column("state", "text"),
        Column("received_at", "time"),
        Column("started_at", "time", "The start of the last attempt"),
        Column("finished_at", "time", "The end of a final order"),
        Column("attempts", "whole"),
        Column("waiting_ms", "number", "From receipt to the first attempt"),
        Column("processing_ms", "number", "From the start of the last attempt to the end"),
        Column("detail", "text", "The last error"),
        Column("schema", "whole"),
    ),
)

ORDER_ATTEMPTS: Final = LakeTable(
    name="order_attempts",
    description="Attempts of orders, in the folder of the day of the order's receipt",
    key=("order_id", "attempt"),
    columns=(
        Column("order_id", "text"),
        Column("attempt", "whole"),
        Column("started_at", "time"),
        Column("ended_at", "time"),
        Column("outcome", "text", "The state after it, or NULL while it runs"),
        Column("detail", "text", "The error"),
        Column("schema", "whole"),
    ),
)

TABLES: Final = (PURCHASES, PURCHASE_LINES, BOOKS, STOCK_MOVEMENTS, SCORES, ORDERS, ORDER_ATTEMPTS, ORDER_STEPS)
"""All tables. The last three are those of the tenant `main`."""

BY_EVENTS: Final = {table.events: table for table in TABLES if table.events is not None}
"""The tables that are made from events, by the folder of those."""


def list_tables(tenant: str) -> list[LakeTable]:
    """Returns the tables of a tenant."""
    return [table for table in TABLES if tenant == ORDER_TENANT or table not in (ORDERS, ORDER_ATTEMPTS, ORDER_STEPS)]
