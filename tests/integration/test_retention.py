"""Old final orders leave a running suite's files for the archive, and nobody misses them."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.stores.sqlite.database import connect
from tests.support.intake import PATIENCE, DistributedProcess, IntakeProcess

DAYS = 10
DAY = 86_400_000_000


def clients(folder: Path, *words: str, **settings: str) -> tuple[int, list[dict[str, object]]]:
    """Exit status and results of a command."""
    environ = {**os.environ, "ENV_FILE": "/dev/null", "DATA_DIR": str(folder), **settings}
    command = [sys.executable, "-m", "clients", *words]
    ended = subprocess.run(command, env=environ, capture_output=True, timeout=PATIENCE, check=False)
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def stored(folder: Path) -> int:
    with contextlib.closing(connect(folder / "orders.db", read_only=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Orders that came ten days ago: done ones and a failed one."""
    folder = tmp_path / "data"
    kitchen = {"ORDER_HANDLER": "tests.support.kitchens:fussy", "MAX_ATTEMPTS": "1"}
    with IntakeProcess(folder, kitchen) as intake, intake.connect() as session:
        for number in range(20):
            session.ask({"cliente": f"c{number}", "productos": ["pan"], "direccion": "x"})
        session.ask({"cliente": "rejected", "productos": ["pan"], "direccion": "x", "request_id": "key"})
        session.wait_until("stats", "stats.abiertos", 0)
    with contextlib.closing(connect(folder / "orders.db")) as connection:
        # A key that has expired is freed within moments of a start; until then its order is not archived.
        connection.execute("UPDATE orders SET request_id = NULL, received = received - ?", (DAYS * DAY,))
    return folder


def test_old_orders_are_archived_while_the_suite_runs(folder: Path) -> None:
    with (
        IntakeProcess(folder, {"KEEP_FINAL_DAYS": "5"}) as intake,
        DistributedProcess(folder) as distributed,
        intake.connect() as session,
    ):
        intake.wait_for_log("orders_archived")
        deadline = time.monotonic() + PATIENCE
        while stored(folder):
            # The follower has to read what happened to them first.
            assert time.monotonic() < deadline, "archived orders are never deleted"
            time.sleep(0.05)
        _, listed = clients(folder, "list", "--archive", "--estado", "fallido")
        assert [order["cliente"] for order in listed] == ["rejected"]
        failed = str(listed[0]["id"])
        found = session.ask(f"status {failed}")["pedido"]
        assert (found["estado"], found["detalle"]) == ("fallido", listed[0]["detalle"])
        assert session.ask(f"explain {failed}")["success"]
        for action in ("retry", "cancel"):
            refused = session.ask(f"{action} {failed}")
            assert refused["error"] == "conflict"
            assert "archived" in refused["message"]
        again = session.ask({"cliente": "new", "productos": ["pan"], "direccion": "x"})
        assert int(again["id"][-12:], 16) == 22
        session.wait_until("stats", "stats.pedidos.listo", 21)
        ports = {server.port_setting: str(server.port) for server in (intake, distributed)}
        status, told = clients(folder, "audit", **ports)
        assert (status, told[0]["sound"]) == (0, True)
    with IntakeProcess(folder) as intake, intake.connect() as session:
        stats = session.ask("stats")["stats"]
        assert (stats["aceptados"], stats["pedidos"]["listo"], stats["pedidos"]["fallido"]) == (22, 21, 1)


def test_files_are_made_small_when_the_suite_is_stopped(folder: Path) -> None:
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    with IntakeProcess(folder):
        status, _ = clients(folder, "compact")
        assert status == 1
    status, told = clients(folder, "archive", "--before", tomorrow)
    assert (status, told[0]["archived"]) == (0, 21)
    status, told = clients(folder, "compact")
    assert status == 0
    assert set(told[0]) >= {"orders.db", "orders-progress.db"}
    status, _ = clients(folder, "archive", "--before", "tomorrow")
    assert status == 2
