"""What the pool and a worker process say to each other, as MessagePack."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from shared.domain.ids import OrderRange
from shared.stores.ports.orders import Ticket


class Work(Struct, frozen=True, array_like=True, tag=1):
    """To a worker: orders to work off."""

    tickets: list[Ticket]


class Drain(Struct, frozen=True, array_like=True, tag=2):
    """To a worker: begin nothing more, finish what runs within `seconds`, hand back the rest, end."""

    seconds: float


class Ready(Struct, frozen=True, array_like=True, tag=3):
    """From a worker: it has opened the store and takes work."""


class Alive(Struct, frozen=True, array_like=True, tag=4):
    """From a worker: its event loop turns. It renews the lease on everything the worker has begun."""


class Retry(Struct, frozen=True, array_like=True):
    """An order that goes back to the queue: to be begun from `due` on, in microseconds; None is at once."""

    orders: OrderRange
    attempt: int
    due: int | None
    detail: str


class Failed(Struct, frozen=True, array_like=True):
    """An order that ended `fallido`."""

    orders: OrderRange
    detail: str


class Report(Struct, frozen=True, array_like=True, tag=5):
    """From a worker, after a commit: what has changed. Times are microseconds since the epoch."""

    started: list[OrderRange]
    done: list[OrderRange]
    failed: list[Failed]
    retried: list[Retry]
    refused: list[OrderRange]
    """Tickets that were not to be worked off."""
    lost: list[OrderRange]
    """Results that the fence kept out."""
    settled_at: int
    waiting: Mapping[int, int]
    """Microseconds from receipt to start, by bucket (`shared.domain.quantiles`)."""
    processing: Mapping[int, int]
    noted: int = 0
    """How many of those that are done have a note."""


ToWorker = Work | Drain
FromWorker = Ready | Alive | Report

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder[ToWorker](ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder[FromWorker](FromWorker).decode
