"""The bounded queue to one worker process, and the way back.

One pipe each way for each worker, and no lock between processes: a `multiprocessing.Queue` that several
workers share is wedged when one of them is killed inside `get`, since its lock dies with it. Messages
carry references to orders, not orders, so a queue bounded by its number of orders fits the pipe's buffer
and putting never blocks the event loop.
"""

from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext

from shared.domain.errors import ComandaError
from workers.messages import FromWorker, ToWorker, decode_from_worker, decode_to_worker, encode


class QueueClosed(ComandaError):
    """The process at the other end is gone."""


class PoolEnd:
    """The pool's end: puts messages for the worker, and takes what it reports."""

    def __init__(self, connection: "Connection[bytes, bytes]") -> None:
        self._connection = connection

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to take."""
        return self._connection.fileno()

    def put(self, message: ToWorker) -> None:
        """Sends one message. Raises QueueClosed."""
        try:
            self._connection.send_bytes(encode(message))
        except OSError as error:
            raise QueueClosed("the worker is gone") from error

    def take(self) -> list[FromWorker]:
        """Every message that is there, at least one when the descriptor is readable. Raises QueueClosed."""
        messages: list[FromWorker] = []
        try:
            while self._connection.poll():
                messages.append(decode_from_worker(self._connection.recv_bytes()))
        except (EOFError, OSError) as error:
            if not messages:
                raise QueueClosed("the worker is gone") from error
        return messages

    def close(self) -> None:
        """Frees the descriptors."""
        self._connection.close()


class WorkerEnd:
    """The worker's end: takes messages, and puts reports."""

    def __init__(self, connection: "Connection[bytes, bytes]") -> None:
        self._connection = connection

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to take."""
        return self._connection.fileno()

    def put(self, message: FromWorker) -> None:
        """Sends one message, waiting while the pool is behind. Raises QueueClosed."""
        try:
            self._connection.send_bytes(encode(message))
        except OSError as error:
            raise QueueClosed("the pool is gone") from error

    def take(self) -> list[ToWorker]:
        """Every message that is there, at least one when the descriptor is readable. Raises QueueClosed."""
        messages: list[ToWorker] = []
        try:
            while self._connection.poll():
                messages.append(decode_to_worker(self._connection.recv_bytes()))
        except (EOFError, OSError) as error:
            if not messages:
                raise QueueClosed("the pool is gone") from error
        return messages


def open_queue(context: SpawnContext) -> tuple[PoolEnd, WorkerEnd, "Connection[bytes, bytes]"]:
    """A new queue: the pool's end, the worker's end, and the connection to close here once it is passed on."""
    pool, worker = context.Pipe(duplex=True)
    return PoolEnd(pool), WorkerEnd(worker), worker
