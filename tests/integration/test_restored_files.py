"""A suite that starts on files of different moments works off what it acknowledges, and `audit` tells what is lost."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.intake import PATIENCE, DistributedProcess, IntakeProcess
from tests.support.orders import ORDER


class Suite:
    """An intake whose handler notes each order that it sees, and the distributed service, on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plates = folder.with_name(f"plates of {folder.name}")
        self._plates.mkdir()
        settings = {"ORDER_HANDLER": "tests.support.kitchens:plain", "PLATES": str(self._plates)}
        self.intake = IntakeProcess(folder, settings)
        self.distributed = DistributedProcess(folder)

    def __enter__(self) -> "Suite":
        # The follower first: what it does about its position must not hide from the intake what was read.
        self.distributed.start()
        self.intake.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.distributed, self.intake):
            process.kill_if_alive()

    def order(self, count: int, expected: int) -> list[str]:
        """Sends orders, and waits until as many as expected are counted as done at both servers."""
        with self.intake.connect() as session, self.distributed.connect() as service:
            ids = [session.ask(ORDER)["id"] for _ in range(count)]
            session.wait_until("stats", "stats.pedidos.listo", expected)
            service.wait_until("get_global_stats", "stats.pedidos.por_estado.listo", expected)
        return ids

    def audit(self) -> tuple[int, list[Any]]:
        """The exit status of `audit`, and what it tells."""
        ports = {"SERVER_PORT": str(self.intake.port), "DISTRIBUTED_PORT": str(self.distributed.port)}
        words = [sys.executable, "-m", "clients", "audit", "--wait", "30"]
        environ = {**os.environ, "ENV_FILE": "/dev/null", **ports}
        ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]

    def handled(self) -> list[str]:
        """The orders that the handler has seen, sorted."""
        return sorted(path.name for path in self._plates.iterdir())


def backup(source: Path, target: Path, *names: str) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        with (
            contextlib.closing(sqlite3.connect(source / name)) as file,
            contextlib.closing(sqlite3.connect(target / name)) as copy,
        ):
            file.backup(copy)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Suite]:
    """A running suite."""
    with Suite(tmp_path / "data") as suite:
        yield suite


def test_orders_are_older_than_the_other_files(running: Suite, tmp_path: Path) -> None:
    early = running.order(20, 20)
    backup(running.folder, tmp_path / "b", "orders.db")
    late = running.order(30, 50)
    backup(running.folder, tmp_path / "b", "orders-progress.db", "distributed.db")
    with Suite(tmp_path / "b") as restored:
        told = restored.intake.wait_for_log("store_files_disagree")
        assert (told["level"], told["next"], told["missing"], told["set_aside"]) == ("error", 51, 30, 30)
        sent = restored.order(40, 60)
        assert restored.handled() == sorted(sent)
        assert not set(sent) & set(early + late)
        status, (found, repair) = restored.audit()
    assert (status, found["sound"], found["intake"]["aceptados"]) == (0, True, 60)
    assert (repair["repair"]["faltan"], repair["repair"]["apartados"]) == (30, 30)


def test_orders_are_deleted(running: Suite) -> None:
    lost = running.order(5, 5)
    for process in (running.intake, running.distributed):
        process.terminate()
    for path in running.folder.glob("orders.db*"):
        path.unlink()
    with running:
        sent = running.order(3, 3)
        assert running.handled() == sorted(lost + sent)
        status, (found, _) = running.audit()
    assert (status, found["sound"]) == (0, True)


def test_plain_copy_of_a_running_folder(running: Suite, tmp_path: Path) -> None:
    running.order(20, 20)
    # The files one after the other, each with its log, while orders come in between.
    folder = tmp_path / "copy"
    folder.mkdir()
    for expected, name in enumerate(("orders.db", "orders-progress.db", "distributed.db"), 21):
        for path in sorted(running.folder.glob(f"{name}*")):
            (folder / path.name).write_bytes(path.read_bytes())
        running.order(1, expected)
    with Suite(folder) as restored:
        sent = restored.order(10, 30)
        assert restored.handled() == sorted(sent)
        status, (found, *_) = restored.audit()
    assert (status, found["sound"]) == (0, True)
