"""The whole suite as `make run` starts it, and a trickle of orders, records and scores that keeps it busy."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.intake import PATIENCE, Session
from tests.support.ports import hold_port
from tests.support.waiting import until

PORTS = {"SERVER_PORT": 8888, "TCP_PERSIST_PORT": 6000, "DISTRIBUTED_PORT": 7000, "MAIN_SERVER_PORT": 5000}
"""The setting of each port, and the number that the docs have for it."""


class SuiteProcess:
    """`python -m services`: every server, on ports of its own."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        self.ports = {number: hold_port(self) for number in PORTS.values()}
        """By the numbers that the docs have."""
        self.environ = {
            **os.environ,
            "ENV_FILE": "/dev/null",
            "DATA_DIR": str(data_dir),
            **settings,
            **{setting: str(self.ports[number]) for setting, number in PORTS.items()},
        }
        """Where servers and commands find each other."""
        self._log = data_dir.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._traffic = threading.Thread(target=self._send_traffic, daemon=True)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "services"]
            self._process = subprocess.Popen(command, env=self.environ, stderr=log, stdin=subprocess.DEVNULL)
        process = self._process
        until(self._is_ready, lambda ready: ready or process.poll() is not None)
        assert process.poll() is None, self._log.read_text()
        self._traffic.start()
        return self

    def _is_ready(self) -> bool:
        """Whether the gateway answers that all servers can work; the command `ready` would load a program each time."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[5000]}/ready", timeout=PATIENCE):
                return True
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._traffic.join(PATIENCE)
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    def connect(self, number: int) -> Session:
        """A connection to the port that the docs call `number`."""
        return Session("127.0.0.1", self.ports[number], greeted=False)

    def _send_traffic(self) -> None:
        """Sends an order, a record and a score now and then: whoever waits for an event gets one."""
        with self.connect(8888) as orders, self.connect(6000) as records:
            orders.read()
            for number in itertools.count(1):
                orders.ask({"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"})
                records.ask({"action": "set", "id": "traffic", "data": {"number": number}})
                records.ask({"action": "save_score", "user_id": 1, "puntaje": 100 + number})
                if self._ended.wait(0.05):
                    return
