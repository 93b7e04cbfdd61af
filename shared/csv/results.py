"""Writes results of queries as CSV that spreadsheets open correctly."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from shared.csv.export import encode_cell


def export_results(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Returns a table as CSV in UTF-8 with a header; NULL is an empty cell, lists and rows are JSON."""
    lines = [",".join(map(encode_cell, columns)), *(",".join(map(_encode_value, row)) for row in rows)]
    return "".join([f"{line}\r\n" for line in lines]).encode()


def _encode_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    return encode_cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
