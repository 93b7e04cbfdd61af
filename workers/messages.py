"""Messages between the pool and a worker process, as MessagePack."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from shared.domain.ids import OrderRange
from shared.stores.ports.orders import Ticket


class Tickets(Struct, frozen=True, array_like=True, tag=1):
    """To a worker: orders to process."""

    tickets: list[Ticket]


class Drain(Struct, frozen=True, array_like=True, tag=2):
    """To a worker: start nothing more, finish running orders within `seconds`, hand back the rest, end."""

    seconds: float


class Ready(Struct, frozen=True, array_like=True, tag=3):
    """From a worker: it has opened the store and accepts orders."""


class Alive(Struct, frozen=True, array_like=True, tag=4):
    """Heartbeat of a worker. It renews the lease on all its orders."""


class RetriedOrder(Struct, frozen=True, array_like=True):
    """An order that returns to the queue, to start from `due` on, in microseconds; None is at once."""

    orders: OrderRange
    attempt: int
    due: int | None
    detail: str


class FailedOrder(Struct, frozen=True, array_like=True):
    """An order that ended `fallido`."""

    orders: OrderRange
    detail: str


class WorkerReport(Struct, frozen=True, array_like=True, tag=5):
    """From a worker, after a commit: the changes. Times are microseconds since the epoch."""

    started: list[OrderRange]
    done: list[OrderRange]
    failed: list[FailedOrder]
    retried: list[RetriedOrder]
    refused: list[OrderRange]
    """Tickets that could not be claimed."""
    lost: list[OrderRange]
    """Results that fencing rejected."""
    settled_at: int
    waiting: Mapping[int, int]
    """Microseconds from receipt to start, by bucket (`shared.domain.quantiles`)."""
    processing: Mapping[int, int]
    noted: int = 0
    """Number of done orders with a note."""


ToWorker = Tickets | Drain
FromWorker = Ready | Alive | WorkerReport

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder[ToWorker](ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder[FromWorker](FromWorker).decode
