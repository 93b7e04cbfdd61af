"""Processes die in the middle of everything; nothing that was answered is lost or done twice.


Short rounds of what matters most; each waits for events only.
"""

import os
import random
import select
import signal
from pathlib import Path

import pytest

from tests.support.intake import IntakeProcess
from tests.support.ledger import Ledger


def test_workers_killed_under_load_lose_nothing(intake: IntakeProcess) -> None:
    with Ledger(intake) as ledger:
        for _ in range(6):
            ledger.wait_for(500)
            victim = random.choice(intake.workers())
            os.kill(victim, signal.SIGKILL)
        ledger.wait_for(500)
    assert ledger.check()["workers"]


def test_every_worker_killed_at_once_is_replaced(intake: IntakeProcess) -> None:
    with Ledger(intake) as ledger:
        ledger.wait_for(500)
        for pid in intake.workers():
            os.kill(pid, signal.SIGKILL)
        ledger.wait_for(500)
    ledger.check()


def test_server_killed_under_load_keeps_what_it_answered(intake: IntakeProcess) -> None:
    with Ledger(intake) as ledger:
        for _ in range(3):
            ledger.wait_for(1000)
            intake.kill()
            intake.start()
        ledger.wait_for(500)
    ledger.check()


def test_workers_die_with_a_killed_server(intake: IntakeProcess) -> None:
    workers = intake.workers()
    intake.kill()
    for pid in workers:
        _wait_until_gone(pid)


@pytest.mark.intake(LEASE_SECONDS=0.5)
def test_stopped_worker_is_replaced_and_its_orders_are_done(intake: IntakeProcess) -> None:
    with Ledger(intake) as ledger:
        ledger.wait_for(500)
        stopped = intake.workers()[0]
        os.kill(stopped, signal.SIGSTOP)
        _wait_until_gone(stopped)
        ledger.wait_for(500)
    ledger.check()


@pytest.mark.intake(PROCESSING_SECONDS=0.05)
def test_stop_under_load_hands_everything_on_to_the_next_run(intake: IntakeProcess) -> None:
    with Ledger(intake) as ledger:
        ledger.wait_for(1000)
        workers = intake.workers()
        assert intake.terminate(times=2) == 0
        assert not any(_alive(pid) for pid in workers)
        intake.start()
        ledger.wait_for(500)
    ledger.check()


def test_waiting_orders_survive_a_restart_with_their_request_ids(tmp_path: Path) -> None:
    order = {"cliente": "a", "productos": ["x"], "direccion": "d", "request_id": "r1"}
    with IntakeProcess(tmp_path / "data", {"PROCESSING_SECONDS": 600, "ORDER_TIMEOUT_SECONDS": 1000}) as intake:
        with intake.connect() as session:
            first = session.ask(order)
        intake.kill()
    with IntakeProcess(tmp_path / "data") as intake, intake.connect() as session:
        again = session.ask(order)
        assert again["duplicate"] is True
        assert again["id"] == first["id"]
        assert session.ask(order | {"cliente": "b"})["error"] == "conflict"
        session.wait_until(f"status {first['id']}", "pedido.estado", "listo")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _wait_until_gone(pid: int) -> None:
    """Waits for a process that is not ours to end; the kernel offers an event for that."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 60)[0]
    finally:
        os.close(descriptor)
