"""What has happened to the orders of a chunk, in the form in which it is stored."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from shared.stores.orders import OrderProgress

_WITHOUT_FINISHED = len(OrderProgress.__struct_fields__) - 1
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[Any]]).decode


def encode_progress(rows: Sequence[OrderProgress]) -> str:
    """Rows as text: those that differ in `finished` alone share all else, which is nearly all there is."""
    packed: list[list[Any]] = []
    for alike, group in groupby(rows, _shared_members):
        packed.append([*alike, [row.finished for row in group]])
    return _encode(packed).decode()


def decode_progress(text: str) -> list[OrderProgress]:
    """The rows of a text."""
    rows: list[OrderProgress] = []
    for *alike, finished in _decode(text):
        rows += [OrderProgress(*[*alike, one]) for one in finished]
    return rows


def _shared_members(row: OrderProgress) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)[:_WITHOUT_FINISHED]
