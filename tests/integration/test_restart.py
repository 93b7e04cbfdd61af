"""What a server leaves behind when it is killed, and what the next one finds."""

import os
import select
from pathlib import Path

from tests.support.intake import PATIENCE, IntakeProcess


def test_workers_die_with_a_killed_server(intake: IntakeProcess) -> None:
    # The kernel tells of the end of a process that is not ours.
    workers = [os.pidfd_open(pid) for pid in intake.workers()]
    intake.kill()
    for worker in workers:
        assert select.select([worker], [], [], PATIENCE)[0]
        os.close(worker)


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
