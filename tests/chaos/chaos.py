"""One round of the fault harness: the server that is broken, its load, and the proof at the end."""

import bisect
import contextlib
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tests.chaos.history import Findings, History, examine
from tests.chaos.load import Load
from tests.support.intake import LOOK_SECONDS, PATIENCE, IntakeProcess

_AT_ONCE = 0.25
SERVER = (sys.executable, "-m", "services.intake")
FOLLOWER = (sys.executable, "-m", "services.distributed")


class Missing(Exception):
    """What a round needs is not on this machine; the message says what, and how to get it."""


class Outcome(Struct):
    """What a round has shown."""

    kills: int
    findings: Findings
    recovery: list[float]
    """For each kill, seconds until all that had been acknowledged before was `listo`."""


class Chaos:
    """A round in progress. Everything random in it comes from `dice`."""

    def __init__(self, folder: Path, seed: int, *, scale: int = 1, patience: float = PATIENCE) -> None:
        self.folder = folder
        self.dice = random.Random(seed)
        self.scale = scale
        self.patience = patience
        self.command: Sequence[str] = SERVER
        self.follower: Sequence[str] = FOLLOWER
        """What runs the distributed service."""
        self.kills: list[float] = []
        """When something was killed, in seconds since the epoch."""
        self.outcome: Outcome | None = None
        self._faults: list[str] = []

    @contextlib.contextmanager
    def suite(self, data_dir: Path | None = None, **settings: str | int | float) -> Iterator[IntakeProcess]:
        """A running intake; what it has promised by the end of the block is proved then."""
        data_dir = data_dir or self.folder / "data"
        intake = IntakeProcess(data_dir, settings, self.command)
        try:
            yield intake.start()
            self._prove(intake)
        finally:
            intake.kill_if_alive()

    def load(self, intake: IntakeProcess, *, clients: int = 2) -> Load:
        """Clients that send orders for as long as a block lasts."""
        return Load(intake.port, self.folder / "clients", clients=clients)

    def note(self, entry: str) -> None:
        """Writes an entry into a client's log of the round's own."""
        with (self.folder / "clients" / "client-own.log").open("a") as log:
            log.write(entry + "\n")

    def kill(self, pid: int) -> None:
        """Kills a process, and notes when."""
        self.killed()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def killed(self) -> None:
        """Notes that something is being killed now."""
        self.kills.append(time.time())

    def restart(self, intake: IntakeProcess) -> None:
        """Kills the server, and starts it again as a supervisor would."""
        self.killed()
        intake.kill()
        intake.start()

    def recovered(self, intake: IntakeProcess) -> None:
        """Waits until what was accepted so far is done, or one time in four for nothing.

        A suite whose processes are killed faster than they start does no work, so such kills tell nothing of
        how long one takes to be recovered from; but they are worth a try.
        """
        if self.dice.random() < _AT_ONCE:
            return
        deadline = time.monotonic() + self.patience
        with intake.connect() as session:
            accepted = session.ask("stats")["stats"]["aceptados"]
            while session.ask("stats")["stats"]["pedidos"]["listo"] < accepted:
                if time.monotonic() > deadline:
                    self._faults.append(f"what was accepted is not done {self.patience} s after a kill")
                    return
                time.sleep(LOOK_SECONDS)

    def _prove(self, intake: IntakeProcess) -> None:
        with intake.connect() as session:
            try:
                stats = session.wait_until("stats", "stats.abiertos", 0, seconds=self.patience)["stats"]
            except AssertionError:
                stats = session.ask("stats")["stats"]
                self._faults.append(f"{stats['abiertos']} orders stay open")
        if sum(stats["pedidos"].values()) != stats["aceptados"]:
            self._faults.append(f"counts do not add up: {stats['pedidos']} of {stats['aceptados']} accepted")
        if intake.terminate() != 0:
            self._faults.append("the stop was not clean")
        history = History(Load(0, self.folder / "clients").logs)
        findings = examine(history, intake.data_dir / "orders.db")
        findings.faults += self._faults
        self.outcome = Outcome(len(self.kills), findings, recovery(self.kills, history, findings))


def recovery(kills: Sequence[float], history: History, findings: Findings) -> list[float]:
    """For each kill, how long it took until all that had been acknowledged before was `listo`."""
    orders = sorted((at, findings.finished_at.get(order_id, at)) for order_id, at in history.acknowledged_at.items())
    last_finished = list(itertools.accumulate((finished for _, finished in orders), max, initial=0.0))
    before = (last_finished[bisect.bisect_left(orders, (kill, 0.0))] for kill in kills)
    return [max(finished - kill, 0.0) for kill, finished in zip(kills, before, strict=True)]
