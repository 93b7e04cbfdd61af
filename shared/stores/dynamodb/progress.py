"""Encoding of the progress of a chunk's orders."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from shared.stores.orders import OrderProgress

_WITHOUT_FINISHED = len(OrderProgress.__struct_fields__) - 1
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[Any]]).decode


def encode_progress(rows: Sequence[OrderProgress]) -> str:
    """Encodes rows as text; consecutive rows that only differ in `finished` share the other members."""
    packed: list[list[Any]] = []
    for alike, group in groupby(rows, _shared_members):
        packed.append([*alike, [row.finished for row in group]])
    return _encode(packed).decode()


def decode_progress(text: str) -> list[OrderProgress]:
    """Decodes rows from text."""
    rows: list[OrderProgress] = []
    for *alike, finished in _decode(text):
        rows += [OrderProgress(*[*alike, one]) for one in finished]
    return rows


def _shared_members(row: OrderProgress) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)[:_WITHOUT_FINISHED]
