"""The client of the fault harness: a process of its own that keeps book on disk of what it does.

`python -m tests.chaos.client PORT LOG FIRST [http]` sends windows of orders from number FIRST on until it gets
SIGTERM, with `http` to a gateway. Before a window is written, its numbers are logged and synced; so are its
outcomes when they are read. What was sent and has no outcome is unknown. A keyed order whose outcome is unknown is
sent again, and now and then one that is known to be stored, which must give the same id. On standard output it tells
how many outcomes of each kind it has seen.
"""

import os
import random
import signal
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

import msgspec

from tests.chaos.orders import document, keyed

WINDOW = 48
_ANSWER_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
_SENT_AGAIN = 0.02
_UNKNOWN = "deadline_exceeded"
"""The code of an answer that leaves open what was done."""


class _Answer(msgspec.Struct):
    success: bool
    id: str = ""
    error: str = ""


class _HttpBody(msgspec.Struct):
    id: str = ""
    error: str = ""


class Client:
    """One connection's worth of orders, opened again whenever it breaks."""

    def __init__(self, port: int, log: Path, first: int) -> None:
        self._port = port
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._next = first
        self._again: deque[int] = deque()
        self._stop = threading.Event()
        self._dice = random.Random(first)
        self._decode = msgspec.json.Decoder(_Answer).decode
        self._counts = {"ok": 0, "failed": 0}

    def stop(self, *_: object) -> None:
        """Finishes the window in hand, then ends."""
        self._stop.set()

    def run(self) -> None:
        """Sends until stopped."""
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=_ANSWER_SECONDS) as connection:
                    self._talk(connection)
            except (OSError, EOFError, msgspec.DecodeError):
                self._stop.wait(_PAUSE_SECONDS)

    def _talk(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as answers:
            self._greet(answers)
            while not self._stop.is_set():
                self._window(connection, answers)

    def _greet(self, answers: BinaryIO) -> None:
        if b'"event":"hello"' not in answers.readline():
            raise EOFError

    def _request(self, number: int) -> bytes:
        """What sends an order."""
        return msgspec.json.encode(document(number)) + b"\n"

    def _answer(self, answers: BinaryIO) -> _Answer:
        """The next answer. Raises EOFError."""
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return self._decode(line)

    def _window(self, connection: socket.socket, answers: BinaryIO) -> None:
        numbers = [self._again.popleft() for _ in range(min(WINDOW, len(self._again)))]
        fresh = WINDOW - len(numbers)
        numbers += range(self._next, self._next + fresh)
        self._next += fresh
        self._write([f"send {number}" for number in numbers])
        waiting = deque(numbers)
        outcomes: list[str] = []
        unknown: list[int] = []
        try:
            connection.sendall(b"".join(map(self._request, numbers)))
            while waiting:
                answer = self._answer(answers)
                if answer.error == _UNKNOWN:
                    unknown.append(waiting[0])
                else:
                    outcomes.append(self._outcome(waiting[0], answer))
                waiting.popleft()
        finally:
            self._write(outcomes)
            self._again.extend(number for number in (*unknown, *waiting) if keyed(number))
            sys.stdout.write(f"{self._counts['ok']} {self._counts['failed']}\n")
            sys.stdout.flush()

    def _outcome(self, number: int, answer: _Answer) -> str:
        if not answer.success:
            self._counts["failed"] += 1
            return f"failed {number} {answer.error}"
        self._counts["ok"] += 1
        if keyed(number) and self._dice.random() < _SENT_AGAIN:
            self._again.append(number)
        return f"ok {number} {answer.id} {time.time():.6f}"

    def _write(self, entries: list[str]) -> None:
        if entries:
            os.write(self._log, ("\n".join(entries) + "\n").encode())
            os.fdatasync(self._log)


class HttpClient(Client):
    """The same over HTTP, with requests pipelined on a connection."""

    def _greet(self, answers: BinaryIO) -> None:
        """HTTP has no greeting."""

    def _request(self, number: int) -> bytes:
        body = msgspec.json.encode(document(number))
        head = b"POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)

    def _answer(self, answers: BinaryIO) -> _Answer:
        status = answers.readline()
        length = 0
        while (header := answers.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = answers.read(length)
        if not header or len(body) < length:
            raise EOFError
        found = msgspec.json.decode(body, type=_HttpBody)
        return _Answer(status.split()[1] in (b"200", b"201"), found.id, found.error)


if __name__ == "__main__":
    kind = HttpClient if sys.argv[4:] == ["http"] else Client
    client = kind(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    signal.signal(signal.SIGTERM, client.stop)
    client.run()
