"""The harness's side of its client processes: starts them, waits for their progress, stops them."""

import subprocess
import sys
import threading
from pathlib import Path

from tests.support.intake import PATIENCE

# Numbers of different clients never meet.
_STRIDE = 1_000_000_000


class Load:
    """Client processes that send orders to `port`, over HTTP or as lines, for as long as the block lasts."""

    def __init__(self, port: int, folder: Path, *, clients: int = 2, http: bool = False) -> None:
        self._port = port
        self._words = ["http"] if http else []
        self._clients = clients
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._changed = threading.Condition()
        self._counts: dict[int, tuple[int, int]] = {}
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    @property
    def logs(self) -> list[Path]:
        """What the clients have written down."""
        return sorted(self._folder.glob("client-*.log"))

    def __enter__(self) -> "Load":
        first = len(self.logs)
        for number in range(first, first + self._clients):
            log = self._folder / f"client-{number}.log"
            log.touch()
            command = [sys.executable, "-m", "tests.chaos.client", str(self._port), str(log), str(number * _STRIDE)]
            command += self._words
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self._processes.append(process)
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                ok, failed = line.split()
                with self._changed:
                    self._counts[process.pid] = int(ok), int(failed)
                    self._changed.notify_all()

    def wait_for(self, orders: int) -> None:
        """Waits until so many more orders have been acknowledged."""
        self._wait(0, orders)

    def wait_for_refusals(self, orders: int) -> None:
        """Waits until so many more orders have been refused."""
        self._wait(1, orders)

    def _wait(self, kind: int, orders: int) -> None:
        def total() -> int:
            return sum(counts[kind] for counts in self._counts.values())

        with self._changed:
            goal = total() + orders
            assert self._changed.wait_for(lambda: total() >= goal, PATIENCE), "the service does not go on"

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process, reader in zip(self._processes, self._readers, strict=True):
            process.wait(PATIENCE)
            reader.join()
