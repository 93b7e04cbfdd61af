"""Rounds in which the suite is backed up under load, and goes on elsewhere from the backup."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shared.stores.orders import DONE
from shared.stores.sqlite.database import Connection, connect
from shared.stores.sqlite.files import StoreFiles
from tests.chaos.chaos import Chaos
from tests.chaos.event_rounds import followed
from tests.chaos.history import History, stored_orders, totals_that_differ
from tests.chaos.load import Load
from tests.support.intake import PATIENCE, DistributedProcess, IntakeProcess, PersistenceProcess, ServerProcess

_SLOW = "4"
"""MiB a second: slow enough to be killed in the middle."""
_STARTUP = 2


def backup_killed_and_restored(chaos: Chaos) -> None:
    """A backup under load is killed and begun again, and so is its restore elsewhere, where the suite then goes on."""
    backup, restored = chaos.folder / "backup", chaos.folder / "restored"
    with followed(chaos) as suite:
        live = suite.intake.data_dir
        suite.orders.wait_for(300)
        suite.changes.wait_for(20)
        for _ in range(chaos.scale):
            _kill_when(_begin(live, "backup", str(backup), "--rate", _SLOW), backup / "records.db")
            assert _run(live, "verify", str(backup)) != 0, "half a backup passes for a whole one"
            suite.orders.wait_for(300)
        began = time.time()
        assert _run(live, "backup", str(backup)) == 0, "the backup failed"
        assert _run(live, "restore", str(backup), "--replace") != 0, "a running suite was restored over"
        suite.orders.wait_for(300)
    for _ in range(chaos.scale):
        command = _begin(restored, "restore", str(backup), "--rate", _SLOW)
        _kill_when(command, restored / "records.db")
        half = IntakeProcess(restored)
        assert subprocess.run(half.command, env=_environ(restored), check=False, capture_output=True).returncode == (
            _STARTUP
        ), "a server has started on half a restore"
    assert _run(restored, "restore", str(backup)) == 0, "the restore failed"
    with _read(backup) as before:
        done = dict(_done(before))
    _live(chaos, restored)
    _prove(chaos, restored, began, done)


def _live(chaos: Chaos, folder: Path) -> None:
    """Runs the suite on a folder until everything is done and counted."""
    with contextlib.ExitStack() as stack:
        intake = IntakeProcess(folder)
        servers: list[ServerProcess] = [intake, PersistenceProcess(folder), DistributedProcess(folder)]
        for server in servers:
            stack.enter_context(server)
        ports = {server.port_setting: str(server.port) for server in servers}
        with intake.connect() as session:
            session.wait_until("stats", "stats.abiertos", 0, seconds=chaos.patience)
        assert _run(folder, "audit", "--wait", str(PATIENCE), **ports) == 0, "the audit of the restored suite fails"


def _prove(chaos: Chaos, folder: Path, began: float, done: dict[int, tuple[int, int]]) -> None:
    """Whether the restored store has what was acknowledged before, once, and has done nothing twice."""
    assert chaos.outcome is not None
    faults = chaos.outcome.findings.faults
    history = History(Load(0, chaos.folder / "clients").logs)
    with _read(folder) as connection:
        stored = {order.id: order for order in stored_orders(connection)}
        missing = [one for one, at in history.acknowledged_at.items() if at < began and one not in stored]
        if missing:
            faults.append(f"{len(missing)} orders that were acknowledged before the backup are not in it")
        times = Counter(msgspec.json.decode(order.document)["cliente"] for order in stored.values())
        if doubled := [name for name, often in times.items() if often > 1]:
            faults.append(f"{len(doubled)} orders are restored twice")
        if open_orders := [order.id for order in stored.values() if order.state != DONE]:
            faults.append(f"{len(open_orders)} orders are not done after the restore")
        now = dict(_done(connection))
        if again := [sequence for sequence, result in done.items() if now.get(sequence) != result]:
            faults.append(f"{len(again)} orders that were done are done again after the restore")
        faults.extend(totals_that_differ(connection))


@contextlib.contextmanager
def _read(folder: Path) -> Iterator[Connection]:
    files = StoreFiles(folder / "orders.db")
    connection = connect(files.orders, read_only=True)
    connection.execute("ATTACH DATABASE ? AS progress", (str(files.progress),))
    try:
        yield connection
    finally:
        connection.close()


def _done(connection: Connection) -> Iterator[tuple[int, tuple[int, int]]]:
    rows = connection.execute("SELECT sequence, attempt, finished FROM progress.progress WHERE state = ?", (DONE,))
    return ((sequence, (attempt, finished)) for sequence, attempt, finished in rows)


def _environ(folder: Path, **settings: str) -> dict[str, str]:
    return {**os.environ, "ENV_FILE": "/dev/null", "DATA_DIR": str(folder), **settings}


def _begin(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "clients", *words]
    return subprocess.Popen(command, env=_environ(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _run(folder: Path, *words: str, **settings: str) -> int:
    command = [sys.executable, "-m", "clients", *words]
    ended = subprocess.run(command, env=_environ(folder, **settings), check=False, capture_output=True)
    return ended.returncode


def _kill_when(process: "subprocess.Popen[bytes]", path: Path) -> None:
    """Kills a process once a file is there."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline, f"{path} is never written"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)


BACKUP_ROUNDS = (backup_killed_and_restored,)
