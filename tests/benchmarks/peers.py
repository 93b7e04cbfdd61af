"""The servers that are compared, each started on a port and in a folder of its own, each with fsync."""

import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

from tests.benchmarks.driver import Dialect
from tests.support.ports import hold_port

_START_SECONDS = 30.0
_PRODUCTS = ("whole milk", "rolls", "soda", "yogurt", "bottled water", "root vegetables", "tropical fruit", "pastry")


def sample_orders(number: int = 4096) -> list[bytes]:
    """Made-up baskets of one to nine products, about 140 bytes of JSON each; the same in every run."""
    chance = random.Random(1)
    orders = (
        {
            "cliente": f"cliente-{chance.randrange(10_000)}",
            "productos": chance.choices(_PRODUCTS, k=min(1 + int(chance.expovariate(0.3)), 9)),
            "direccion": f"Mostrador {chance.randrange(10)}",
        }
        for _ in range(number)
    )
    return [json.dumps(order).encode() for order in orders]


class Server(ABC):
    """A server of any kind: its own process, a port of its own, a folder that goes with it."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
        self.port = hold_port(self)
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """What has to be installed before this one can be started; None when it can."""
        return None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """How it is started."""

    def environment(self) -> dict[str, str]:
        """Additions to its environment."""
        return {}

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Starts it, waits until it accepts connections, and ends it with all that it stored."""
        environ = {**os.environ, **self.environment()}
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(self.command(), env=environ, cwd=self.folder, stdout=log, stderr=log)
        try:
            self._wait(log.name)
            yield self
        finally:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            log.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self, log: str) -> None:
        assert self.process is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return
        raise RuntimeError(f"{self.name} did not start:\n{Path(log).read_text()}")


class Peer(Server):
    """One server that takes orders and answers when they are on disk."""

    @abstractmethod
    def dialect(self, orders: Sequence[bytes]) -> Dialect:
        """How an order is sent to it."""


class Comanda(Peer):
    """Ours: validated, stored with fsync, and worked off by two workers meanwhile."""

    name = "Comanda"

    def __init__(self, *, workers: int = 2, **settings: str) -> None:
        super().__init__()
        self._workers = workers
        self._settings = settings

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.intake", "--port", str(self.port), "--workers", str(self._workers)]

    def environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ENV_FILE": "/dev/null",
            "DATA_DIR": str(self.folder / "data"),
            "SERVER_BIND": "127.0.0.1",
            "ORDER_HANDLER": "workers.handlers:nothing",
            "MAX_PEDIDOS_EN_COLA": "100000000",
            **self._settings,
        }

    def dialect(self, orders: Sequence[bytes]) -> Dialect:
        return Dialect([order + b"\n" for order in orders], answer=b'{"success":true', greeting=b"\n")


class RedisStreams(Peer):
    """Redis: one XADD an order, `appendfsync always`; nothing is validated or worked off."""

    name = "Redis Streams"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("redis-server") else "redis-server (the Debian package of that name)"

    def command(self) -> Sequence[str]:
        flags = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), "save": ""}
        flags |= {"appendonly": "yes", "appendfsync": "always"}
        return ["redis-server", *(word for name, value in flags.items() for word in (f"--{name}", value))]

    def dialect(self, orders: Sequence[bytes]) -> Dialect:
        requests = [
            b"*5\r\n$4\r\nXADD\r\n$6\r\norders\r\n$1\r\n*\r\n$4\r\nbody\r\n$%d\r\n%s\r\n" % (len(order), order)
            for order in orders
        ]
        return Dialect(requests, answer=b"$")


class Beanstalkd(Peer):
    """beanstalkd: one put an order, its log synced on every write (`-f 0`)."""

    name = "beanstalkd"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("beanstalkd") else "beanstalkd (the Debian package of that name)"

    def command(self) -> Sequence[str]:
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port), "-b", str(self.folder), "-f", "0"]

    def dialect(self, orders: Sequence[bytes]) -> Dialect:
        requests = [b"put 0 0 60 %d\r\n%s\r\n" % (len(order), order) for order in orders]
        return Dialect(requests, answer=b"INSERTED")


class FastApiService(Peer):
    """What a team would write in an afternoon: FastAPI, uvicorn and aiosqlite, one commit a request."""

    name = "FastAPI + aiosqlite"

    @classmethod
    def missing(cls) -> str | None:
        found = all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn"))
        return None if found else "fastapi and uvicorn (`make bench` installs them)"

    def command(self) -> Sequence[str]:
        words = f"-m uvicorn tests.benchmarks.fastapi_service:app --port {self.port} --log-level warning --loop uvloop"
        return [sys.executable, *words.split(), "--http", "httptools"]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parents[2]), "ORDERS_DB": str(self.folder / "orders.db")}

    def dialect(self, orders: Sequence[bytes]) -> Dialect:
        head = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        requests = [b"%sContent-Length: %d\r\n\r\n%s" % (head, len(order), order) for order in orders]
        return Dialect(requests, answer=b"HTTP/1.1 200 OK")
