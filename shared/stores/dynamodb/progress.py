"""What has happened to the orders of a chunk, in the form in which it is stored."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from shared.stores.orders import Row

_WITHOUT_FINISHED = len(Row.__struct_fields__) - 1
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[Any]]).decode


def pack(rows: Sequence[Row]) -> str:
    """Rows as text: those that differ in `finished` alone share all else, which is nearly all there is."""
    packed: list[list[Any]] = []
    for alike, group in groupby(rows, _alike):
        packed.append([*alike, [row.finished for row in group]])
    return _encode(packed).decode()


def unpack(text: str) -> list[Row]:
    """The rows of a text."""
    rows: list[Row] = []
    for *alike, finished in _decode(text):
        rows += [Row(*[*alike, one]) for one in finished]
    return rows


def _alike(row: Row) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)[:_WITHOUT_FINISHED]
