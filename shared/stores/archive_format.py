"""Files of archived orders: gzip of JSON lines, one order per line as in `status`, sorted by sequence.

A file is a sequence of gzip members of up to `BLOCK_ORDERS` lines. Any program that reads gzip can read all of it; the
offsets of the members allow reading one order without the rest. In addition to the members of `pedido`
(docs/PROTOCOL.md) a line has `worker`; `fecha_guardado` and `fecha_en_cola`, the times when the order was stored and
last queued; and `fallos`, its failed attempts as arrays of number, time in microseconds, error, place and traceback.
"""

import datetime
import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shared.domain.errors import StoreError
from shared.domain.ids import parse_id
from shared.domain.orders import FailedAttempt, Item, Order, OrderRequest, Priority, iso_time, order_view
from shared.domain.states import State

BLOCK_ORDERS = 1000
ENDING = ".jsonl.gz"

_LEVEL = 6
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _ArchiveLine(
    Struct,
    rename={
        "state": "estado",
        "customer": "cliente",
        "items": "productos",
        "address": "direccion",
        "priority": "prioridad",
        "attempts": "intentos",
        "received": "recibido",
        "not_before": "no_antes_de",
        "stored": "fecha_guardado",
        "queued": "fecha_en_cola",
        "started": "fecha_inicio",
        "finished": "fecha_fin",
        "detail": "detalle",
        "failed": "fallos",
    },
):
    """A line of a file."""

    id: str
    state: State
    customer: str
    items: list[str | Item]
    address: str
    priority: Priority
    attempts: int
    received: datetime.datetime
    request_id: str | int | UnsetType = UNSET
    not_before: datetime.datetime | UnsetType = UNSET
    trace: str | UnsetType = UNSET
    stored: datetime.datetime | None = None
    queued: datetime.datetime | None = None
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    worker: str | None = None
    detail: str | None = None
    failed: list[FailedAttempt] = []


_decode = msgspec.json.Decoder(_ArchiveLine).decode_lines


class ArchivedOrder(NamedTuple):
    """An order with its failed attempts."""

    order: Order
    failed: Sequence[FailedAttempt] = ()

    @property
    def sequence(self) -> int:
        """The order's sequence in its store."""
        return int(self.order.id[-12:], 16)


class ArchiveBlock(NamedTuple):
    """A part of a file that can be read on its own (a gzip member)."""

    first: int
    """The sequence of its first order."""
    offset: int
    """Its offset in bytes."""


class ArchiveContents(NamedTuple):
    """A summary of a file, without the orders themselves."""

    sequences: Sequence[int]
    states: Mapping[State, int]
    blocks: Sequence[ArchiveBlock]
    node: int | None
    """The store that accepted the orders."""


def read_contents(path: Path) -> ArchiveContents:
    """Reads the summary of a file, block by block. Raises StoreError."""
    sequences: list[int] = []
    states = Counter[State]()
    blocks: list[ArchiveBlock] = []
    node = None
    try:
        data = memoryview(path.read_bytes())
        offset = 0
        while offset < len(data):
            member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            ids = [(line.id, line.state) for line in _decode(member.decompress(data[offset:]))]
            parsed = [parse_id(order_id) for order_id, _ in ids]
            found = [one[2] for one in parsed if one is not None]
            blocks.append(ArchiveBlock(found[0], offset))
            sequences += found
            states.update(state for _, state in ids)
            node = None if parsed[0] is None else parsed[0][1]
            offset = len(data) - len(member.unused_data)
    except (OSError, zlib.error, IndexError, msgspec.MsgspecError) as error:
        raise _archive_error(path, error) from error
    return ArchiveContents(sequences, states, blocks, node)


def encode_archive(orders: Iterable[ArchivedOrder]) -> tuple[bytes, list[ArchiveBlock]]:
    """Returns the content of a file for orders sorted by sequence, and its blocks."""
    parts: list[bytes] = []
    blocks: list[ArchiveBlock] = []
    lines: list[bytes] = []
    first = offset = 0

    def end_block() -> None:
        nonlocal offset
        # Without a timestamp the same orders give the same bytes.
        part = gzip.compress(b"\n".join(lines) + b"\n", _LEVEL, mtime=0)
        blocks.append(ArchiveBlock(first, offset))
        parts.append(part)
        offset += len(part)
        lines.clear()

    for archived in orders:
        if not lines:
            first = archived.sequence
        lines.append(_encode(_encode_order(archived)))
        if len(lines) == BLOCK_ORDERS:
            end_block()
    if lines:
        end_block()
    return b"".join(parts), blocks


def read_block(path: Path, offset: int = 0, end: int | None = None) -> list[ArchivedOrder]:
    """Returns the orders of a block, or of the whole file; `end` is the offset of the next block. Raises StoreError."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read() if end is None else file.read(end - offset)
        return [ArchivedOrder(_decode_order(line), line.failed) for line in _decode(gzip.decompress(data))]
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise _archive_error(path, error) from error


def _archive_error(path: Path, error: Exception) -> StoreError:
    return StoreError(f"the archive {path.name} cannot be read: {error}", hint="restore the file from a backup")


def _encode_order(archived: ArchivedOrder) -> dict[str, object]:
    order = archived.order
    view = order_view(order)
    for name, moment in (("fecha_guardado", order.stored), ("fecha_en_cola", order.queued)):
        if moment is not None:
            view[name] = iso_time(moment)
    if order.worker is not None:
        view["worker"] = order.worker
    if archived.failed:
        view["fallos"] = archived.failed
    return view


def _decode_order(line: _ArchiveLine) -> Order:
    request = OrderRequest(
        customer=line.customer,
        items=line.items,
        address=line.address,
        priority=line.priority,
        request_id=line.request_id,
        not_before=line.not_before,
        trace=line.trace,
    )
    return Order(
        id=line.id,
        state=line.state,
        request=request,
        received=_to_microseconds(line.received) or 0,
        stored=_to_microseconds(line.stored),
        queued=_to_microseconds(line.queued),
        started=_to_microseconds(line.started),
        finished=_to_microseconds(line.finished),
        attempt=line.attempts,
        worker=line.worker,
        detail=line.detail,
    )


def _to_microseconds(moment: datetime.datetime | None) -> int | None:
    # Integer arithmetic: a float has too few digits.
    return None if moment is None else (moment - _EPOCH) // datetime.timedelta(microseconds=1)
