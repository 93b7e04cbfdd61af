"""Arrow schemas of the lake's tables."""

from collections.abc import Iterable

import pyarrow as pa

from shared.lake.tables import PARTITIONS, Column, LakeTable

MONEY_DIGITS = 18
"""Digits of amounts, two of them after the point."""


def make_schema(columns: Iterable[Column]) -> pa.Schema:
    """Returns the schema of a file."""
    return pa.schema([pa.field(column.name, _make_type(column)) for column in columns])


def make_full_schema(table: LakeTable) -> pa.Schema:
    """Returns the schema of a table with the columns that folders have."""
    schema = make_schema(table.columns)
    return pa.schema([*schema, *(pa.field(name, pa.string()) for name in PARTITIONS)]) if table.daily else schema


def _make_type(column: Column) -> pa.DataType:
    match column.kind:
        case "text":
            return pa.string()
        case "whole":
            return pa.int64()
        case "money":
            return pa.decimal128(MONEY_DIGITS, 2)
        case "number":
            return pa.float64()
        case "flag":
            return pa.bool_()
        case "time":
            return pa.timestamp("us")
        case "rows":
            return pa.list_(pa.struct([pa.field(one.name, _make_type(one)) for one in column.fields]))
