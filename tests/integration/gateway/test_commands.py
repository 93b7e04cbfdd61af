"""The commands around the gateway."""

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.gateway.conftest import Suite
from tests.support.http import Http
from tests.support.intake import PATIENCE, GatewayProcess, IntakeProcess, InventoryProcess, PersistenceProcess

SECRET = "a secret of the tests, long enough"


def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "ENV_FILE": "/dev/null", **settings}
    command = [sys.executable, "-m", "clients", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_token_that_is_made_is_taken(suite: Suite, tmp_path: Path) -> None:
    made = run("token", "--user", "41", JWT_SECRET=SECRET)
    assert made.returncode == 0, made.stderr
    settings = {"STAGE": "test", "JWT_SECRET": SECRET}
    with GatewayProcess(tmp_path, [suite.persistence], settings) as gateway:
        bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
        saved = Http(gateway).ask("POST", "/api/guardar_puntaje", {"puntaje": 9}, headers=bearer)
        assert saved.json["puntaje_maximo"] == 9


def test_a_token_needs_a_secret() -> None:
    for secret, told in (("", "is not set"), ("short", "shorter than 32")):
        refused = run("token", "--user", "1", JWT_SECRET=secret)
        assert refused.returncode == 2
        assert told in refused.stderr


def test_ready_tells_how_every_server_is(suite: Suite, tmp_path: Path) -> None:
    fine = run("ready", "--json", "-p", str(suite.gateway.port))
    assert fine.returncode == 0
    assert fine.stdout == '{"status":"ok","intake":"ok","persistence":"ok","distributed":"ok","shop":"ok"}\n'
    with GatewayProcess(tmp_path, [suite.persistence]) as gateway:
        not_fine = run("ready", "--json", "-p", str(gateway.port))
        assert not_fine.returncode == 1
        assert '"intake":"away"' in not_fine.stdout
    nobody = run("ready", "-p", str(gateway.port))
    assert nobody.returncode == 1
    assert "no gateway answers" in nobody.stderr


def test_ready_tells_how_one_server_is(suite: Suite, tmp_path: Path) -> None:
    for server in (suite.intake, suite.persistence, suite.distributed, suite.gateway):
        name = server.module.rpartition(".")[2]
        found = run("ready", name, "--json", **{server.port_setting: str(server.port)})
        assert (found.returncode, found.stdout) == (0, '{"status":"ok"}\n'), found.stderr
    nobody = IntakeProcess(tmp_path).port
    for name in ("intake", "persistence", "distributed", "inventory", "gateway"):
        missing = run("ready", name, "-p", str(nobody))
        assert missing.returncode == 1
        assert "answers at" in missing.stderr, name


def test_ready_tells_whether_the_inventory_service_works(tmp_path: Path) -> None:
    with PersistenceProcess(tmp_path / "data") as persistence:
        asked = {"TCP_PERSIST_PORT": str(persistence.port)}
        never = run("ready", "inventory", "--json", **asked)
        assert (never.returncode, never.stdout) == (1, '{"status":"away"}\n')
        with InventoryProcess(tmp_path / "data", [persistence]):
            for _ in range(100):
                found = run("ready", "inventory", "--json", **asked)
                if found.returncode == 0:
                    break
        assert (found.returncode, found.stdout) == (0, '{"status":"ok"}\n')
