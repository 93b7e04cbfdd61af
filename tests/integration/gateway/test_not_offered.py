"""With STORE=dynamodb there is no distributed service: whoever asks for it is told so, and not to come back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Http
from tests.support.intake import GatewayProcess, PersistenceProcess


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    """A gateway of such a suite; it opens no store itself."""
    data_dir = tmp_path_factory.mktemp("gateway")
    with (
        PersistenceProcess(data_dir) as persistence,
        GatewayProcess(data_dir, [persistence], {"STORE": "dynamodb"}) as gateway,
    ):
        yield Http(gateway)


@pytest.mark.parametrize(
    "path", ["/api/stats/global", "/api/stats/usuario?user_id=1", "/api/notificaciones?user_id=1", "/api/v1/events"]
)
def test_what_is_not_there_is_not_promised_for_later(http: Http, path: str) -> None:
    reply = http.get(path)
    assert (reply.status, reply.problem["error"]) == (501, "unavailable")
    assert "STORE=dynamodb" in reply.problem["detail"]
    assert "retry_after_ms" not in reply.problem
    assert "retry-after" not in {name.lower() for name in reply.headers}


def test_readiness_leaves_out_what_is_not_there(http: Http) -> None:
    assert "distributed" not in http.get("/ready").json["dependencies"]


@pytest.mark.parametrize("words", [["stats"], ["notifications", "1"], ["observe", "--topics", "orders"], ["audit"]])
def test_command_line_says_so(words: list[str], tmp_path: Path) -> None:
    environ = {**os.environ, "ENV_FILE": "/dev/null", "STORE": "dynamodb", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "clients", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "STORE=dynamodb" in done.stderr
    assert done.stderr.count("\n") == 1
