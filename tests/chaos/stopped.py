"""A worker that is stopped: which orders it had begun, and when others have done them."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from shared.stores.orders import DONE, RUNNING
from shared.stores.sqlite.database import Connection, connect
from shared.stores.sqlite.files import StoreFiles
from tests.support.intake import PATIENCE, IntakeProcess

_POLL_SECONDS = 0.02


class StoppedWorker:
    """A worker process that stands still until `resume`; the server may have killed it by then.

    With `between_turns` it is stopped where it has begun orders and is not within a transaction; else anywhere.
    """

    def __init__(self, intake: IntakeProcess, pid: int, *, between_turns: bool) -> None:
        with intake.connect() as session:
            workers = session.ask("stats")["stats"]["workers"]
        self._pid = pid
        self._place = next((worker["id"] for worker in workers if worker["pid"] == pid), None)
        self._intake = intake
        self._files = StoreFiles(intake.data_dir / "orders.db")
        self._deaths = self._count_deaths()
        self._begun: list[int] = []
        self._stop()
        deadline = time.monotonic() + PATIENCE
        while between_turns and self._is_alive() and (self._holds_the_lock() or not self._begun):
            assert time.monotonic() < deadline, "a worker is always within a transaction, or begins nothing"
            self._send(signal.SIGCONT)
            time.sleep(_POLL_SECONDS)
            self._stop()

    def _stop(self) -> None:
        self._send(signal.SIGSTOP)
        name = f"{self._place}-{self._pid}"
        self._begun = self._query("SELECT sequence FROM progress WHERE worker = ? AND state = ?", name, RUNNING)

    def resume(self) -> None:
        """Lets it go on, if it is still there, and waits until it has recorded what it had begun."""
        before = self._sum_of_ends()
        self._send(signal.SIGCONT)
        deadline = time.monotonic() + PATIENCE
        while self._begun and self._is_alive() and self._sum_of_ends() == before and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def _is_alive(self) -> bool:
        try:
            return Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
        except OSError:
            return False

    def _sum_of_ends(self) -> int | None:
        marks = ",".join("?" * len(self._begun))
        (found,) = self._query(f"SELECT sum(finished) FROM progress WHERE sequence IN ({marks})", *self._begun)
        return None if found is None else int(found)

    def wait_until_replaced(self) -> None:
        """Waits until the server has given it up, and others have done what it had begun.

        They cannot while a worker lives that was stopped within a transaction: it keeps all others from theirs.
        """
        deadline = time.monotonic() + PATIENCE
        while self._count_deaths() == self._deaths:
            assert time.monotonic() < deadline, "a worker that stands still is not given up"
            time.sleep(_POLL_SECONDS)
        if self._holds_the_lock():
            return
        marks = ",".join("?" * len(self._begun))
        statement = f"SELECT sequence FROM progress WHERE state = ? AND sequence IN ({marks})"
        while len(self._query(statement, DONE, *self._begun)) < len(self._begun):
            assert time.monotonic() < deadline, "what a stopped worker had begun is not done"
            time.sleep(_POLL_SECONDS)

    def _count_deaths(self) -> int:
        died = [entry for entry in self._intake.log if entry.get("event") == "worker_died"]
        return sum(f"w{entry['worker']}" == self._place for entry in died)

    def _holds_the_lock(self) -> bool:
        """Whether it was stopped within a transaction, as the kernel's list of locks tells."""
        inode = self._files.progress_lock.stat().st_ino
        held = (line.split() for line in Path("/proc/locks").read_text().splitlines() if " -> " not in line)
        return any(words[4] == str(self._pid) and words[5].endswith(f":{inode}") for words in held)

    def _query(self, statement: str, *values: object) -> list[Any]:
        connection: Connection = connect(Path(self._files.progress), read_only=True)
        with contextlib.closing(connection):
            return [value for (value,) in connection.execute(statement, values).fetchall()]
