"""Statements of Athena and Glue for the tables of a tenant, made from the same definitions as DuckDB's tables.

A tenant is a database, so permissions by prefix and a workgroup with a limit keep tenants apart.
"""

from collections.abc import Iterable
from typing import Final

from shared.lake.layout import table_folder
from shared.lake.tables import (
    PARTITIONS,
    Column,
    Kind,
    LakeTable,
    list_tables,
)

_TYPES: Final[dict[Kind, str]] = {
    "text": "string",
    "whole": "bigint",
    "money": "decimal(18,2)",
    "number": "double",
    "flag": "boolean",
    "time": "timestamp",
}
_FIRST_YEAR: Final = 2024
_LAST_YEAR: Final = 2040
_JSON_SERDE: Final = "org.openx.data.jsonserde.JsonSerDe"


def name_database(tenant: str) -> str:
    """Returns the database of a tenant; names of databases have no hyphens."""
    return f"comanda_{tenant.replace('-', '_')}"


def describe_database(url: str, tenant: str) -> str:
    """Returns all statements for a tenant whose lake is at `url` (s3://BUCKET/PREFIX)."""
    root = url.rstrip("/")
    statements = [f"CREATE DATABASE IF NOT EXISTS {name_database(tenant)}"]
    for table in list_tables(tenant):
        statements.append(describe_table(root, tenant, table))
        if table.events is not None:
            statements.append(describe_events(root, tenant, table))
    return "".join(f"{one};\n\n" for one in statements)


def describe_table(root: str, tenant: str, table: LakeTable) -> str:
    """Returns the statement for the Parquet files of a table."""
    location = f"{root}/{table_folder(tenant, table.name)}"
    return _create(name_database(tenant), table.name, table.columns, "STORED AS PARQUET", location, daily=table.daily)


def describe_events(root: str, tenant: str, table: LakeTable) -> str:
    """Returns the statement for the events of a table; their times are text."""
    assert table.events is not None
    columns = table.columns
    if all(column.name != "event" for column in columns):
        columns = (*columns, Column("event", "text"))
    texts = [Column(one.name, "text") if one.kind == "time" else one for one in columns]
    location = f"{root}/{table_folder(tenant, table.events)}"
    return _create(
        name_database(tenant), table.events, texts, f"ROW FORMAT SERDE '{_JSON_SERDE}'", location, daily=True
    )


def glue_type(column: Column) -> str:
    """Returns the type of a column in Glue."""
    if column.kind == "rows":
        fields = ",".join(f"{field.name}:{glue_type(field)}" for field in column.fields)
        return f"array<struct<{fields}>>"
    return _TYPES[column.kind]


def _create(database: str, name: str, columns: Iterable[Column], form: str, location: str, *, daily: bool) -> str:
    listed = ",\n".join(f"  `{column.name}` {glue_type(column)}" for column in columns)
    text = f"CREATE EXTERNAL TABLE IF NOT EXISTS {database}.{name} (\n{listed}\n)\n"
    if daily:
        text += f"PARTITIONED BY ({', '.join(f'`{part}` string' for part in PARTITIONS)})\n"
    text += f"{form}\nLOCATION '{location}'"
    if daily:
        properties = {
            "projection.enabled": "true",
            "projection.year.type": "integer",
            "projection.year.range": f"{_FIRST_YEAR},{_LAST_YEAR}",
            "projection.month.type": "integer",
            "projection.month.range": "1,12",
            "projection.month.digits": "2",
            "projection.day.type": "integer",
            "projection.day.range": "1,31",
            "projection.day.digits": "2",
            "storage.location.template": f"{location}year=${{year}}/month=${{month}}/day=${{day}}/",
        }
        text += "\nTBLPROPERTIES (\n" + ",\n".join(f"  '{key}'='{value}'" for key, value in properties.items()) + "\n)"
    return text
