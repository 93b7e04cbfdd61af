"""Everything moved from SQLite to DynamoDB and back: the same orders, records and log on both sides."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.dynamodb import own_tables, settings_of
from tests.support.intake import PATIENCE, IntakeProcess, PersistenceProcess, Session

LATER = "2100-01-01T00:00:00Z"


@pytest.fixture
def settings(dynamodb: str) -> dict[str, str]:
    """Those of servers on tables that are nobody else's."""
    return {**settings_of(own_tables(dynamodb)), "SERVER_LEASE_SECONDS": "1", "STORE_SECONDS": "60"}


def migrate(folder: Path, settings: dict[str, str], source: str, target: str) -> tuple[int, str, str]:
    """Exit status, output and errors of the command."""
    environ = {**os.environ, **settings, "ENV_FILE": "/dev/null", "DATA_DIR": str(folder), "COLUMNS": "200"}
    command = [sys.executable, "-m", "clients", "migrate", "--from", source, "--to", target]
    ended = subprocess.run(command, env=environ, capture_output=True, timeout=PATIENCE, check=False)
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def fill(folder: Path) -> None:
    """Orders in every state, records and their log."""
    kitchen = {"ORDER_HANDLER": "tests.support.kitchens:fussy", "MAX_ATTEMPTS": "1"}
    with IntakeProcess(folder, kitchen) as intake, intake.connect() as session:
        for number in range(300):
            session.ask({"cliente": f"c{number}", "productos": ["pan"], "direccion": "x"})
        session.ask({"cliente": "rejected", "productos": ["veneno"], "direccion": "ñ", "request_id": "failed"})
        late = {"cliente": "Eva", "productos": [{"producto": "agua", "precio": 0.8}], "direccion": "y"}
        session.ask({**late, "no_antes_de": LATER, "request_id": "late", "prioridad": "alta"})
        cancelled = session.ask({**late, "no_antes_de": LATER, "request_id": "cancelled"})["id"]
        session.ask(f"cancel {cancelled}")
        session.wait_until("stats", "stats.abiertos", 1)
    with PersistenceProcess(folder) as server, server.connect() as records:
        for number in range(30):
            records.ask({"action": "set", "id": f"r{number % 7}", "data": {"n": number, "deep": [{"x": 0.5}]}})
        records.ask({"action": "save_score", "user_id": 7, "puntaje": 100})


def seen(folder: Path, settings: dict[str, str]) -> dict[str, Any]:
    """What users see of all that."""
    found: dict[str, Any] = {}
    with IntakeProcess(folder, settings) as intake, intake.connect() as session:
        listed = session.ask({"action": "list", "limite": 1000})
        assert listed["success"], listed
        found["orders"] = listed["pedidos"]
        failed = next(order["id"] for order in found["orders"] if order["estado"] == "fallido")
        found["explained"] = session.ask(f"explain {failed}")
        assert found["explained"]["errores"][0]["traza"]
        stats = session.ask("stats")["stats"]
        found["stats"] = (stats["aceptados"], stats["abiertos"], stats["pedidos"])
        order = {"cliente": "rejected", "productos": ["veneno"], "direccion": "ñ", "request_id": "failed"}
        found["duplicate"] = session.ask(order)["id"]
    with PersistenceProcess(folder, settings) as server, server.connect() as records:
        found["ids"] = [one["id"] for one in pages(records)]
        found["history"] = records.ask("history r3")["items"]
        found["score"] = records.ask({"action": "get_item", "table": "Scores", "key": {"user_id": 7}})
        assert records.ask("verify_log")["valid"] is True
    return found


def pages(records: Session) -> list[Any]:
    answer = records.ask({"action": "list", "limit": 1000})
    return list(answer["items"])


def test_everything_is_the_same_there_and_back(tmp_path: Path, settings: dict[str, str]) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    fill(here)
    before = seen(here, {})
    status, shown, told = migrate(here, settings, "sqlite", "dynamodb")
    assert status == 0, told
    assert "303" in shown
    moved = seen(here, settings)
    assert moved == before
    status, _, told = migrate(back, settings, "dynamodb", "sqlite")
    assert status == 0, told
    assert seen(back, {}) == before


def test_move_that_was_interrupted_goes_on(tmp_path: Path, settings: dict[str, str]) -> None:
    fill(tmp_path)
    command = [sys.executable, "-m", "tests.support.half_a_move"]
    environ = {**os.environ, **settings, "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path)}
    assert subprocess.run(command, env=environ, timeout=PATIENCE, check=False).returncode == -9
    assert (tmp_path / "migration.json").exists()
    status, shown, told = migrate(tmp_path, settings, "sqlite", "dynamodb")
    assert status == 0, told
    assert "303" in shown
    assert not (tmp_path / "migration.json").exists()


def test_target_that_has_something_is_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    fill(tmp_path)
    assert migrate(tmp_path, settings, "sqlite", "dynamodb")[0] == 0
    status, _, told = migrate(tmp_path, settings, "sqlite", "dynamodb")
    assert status == 1
    assert "not empty" in told


@pytest.mark.parametrize("running", ["sqlite", "dynamodb"])
def test_store_in_use_is_refused(tmp_path: Path, settings: dict[str, str], running: str) -> None:
    with IntakeProcess(tmp_path, settings if running == "dynamodb" else None):
        status, _, told = migrate(tmp_path, settings, "sqlite", "dynamodb")
    assert status == 1
    assert "stop it first" in told


def test_difference_is_told(tmp_path: Path, settings: dict[str, str]) -> None:
    fill(tmp_path)
    command = [sys.executable, "-m", "tests.support.half_a_move"]
    environ = {**os.environ, **settings, "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path)}
    subprocess.run(command, env=environ, timeout=PATIENCE, check=False)
    with contextlib.closing(sqlite3.connect(tmp_path / "orders.db")) as connection, connection:
        assert connection.execute("DELETE FROM orders WHERE sequence = 1").rowcount == 1
    status, _, told = migrate(tmp_path, settings, "sqlite", "dynamodb")
    assert status == 1
    assert "not the same" in told
