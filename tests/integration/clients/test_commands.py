"""The command line as people and scripts run it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clients.intake import IntakeClient
from clients.loadtest.generator import Generator
from clients.loadtest.measure import Measure
from clients.loadtest.verify import verify
from clients.loadtest.workload import made_up_workload
from tests.support.intake import PATIENCE, IntakeProcess

FLAGS = ["--cliente", "Ana Paz", "--producto", "pan", "--producto", "agua:2:0.80", "--direccion", "Mayor 1"]


def run(intake: IntakeProcess, *words: str, stdin: str = "") -> tuple[int, list[Any], str]:
    """Runs a command: its exit status, its results, and what it wrote to standard error."""
    environ = {**os.environ, "SERVER_HOST": "::", "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    command = [sys.executable, "-m", "clients", *words]
    ended = subprocess.run(
        command, env=environ, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr


def test_order_from_flags_is_followed_to_the_end(intake: IntakeProcess) -> None:
    status, (accepted, final), _ = run(intake, "order", *FLAGS, "--follow")
    assert (status, accepted["estado"], final["estado"]) == (0, "en cola", "listo")
    assert final["productos"] == ["pan", {"producto": "agua", "cantidad": 2, "precio": "0.8"}]
    for words in (["status", final["id"]], ["list", "--cliente", "Ana Paz"], ["list", "--estado", "listo"]):
        assert run(intake, *words)[1][0]["id"] == final["id"]
    assert run(intake, "explain", final["id"])[1][0]["pasos"]


def test_orders_from_a_file_and_from_standard_input(intake: IntakeProcess, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"cliente": str(n), "productos": ["x"], "direccion": "d"}) + "\n" for n in range(3))
    (tmp_path / "orders").write_text(lines)
    assert len(run(intake, "order", "--file", str(tmp_path / "orders"))[1]) == 3
    assert len(run(intake, "order", "-f", "-", stdin=lines)[1]) == 3
    assert run(intake, "stats")[1][0]["aceptados"] == 6


def test_wrong_order_costs_only_itself(intake: IntakeProcess) -> None:
    good = '{"cliente":"a","productos":["x"],"direccion":"d"}\n'
    status, results, told = run(intake, "order", "-f", "-", stdin=good + '{"cliente":"a"}\n' + good)
    assert (status, len(results)) == (1, 2)
    assert "productos is missing" in told


@pytest.mark.parametrize(("words", "status"), [(["bogus"], 2), (["list", "--limite", "x"], 2), (["status", "no"], 1)])
def test_exit_status_tells_wrong_usage_from_errors(intake: IntakeProcess, words: list[str], status: int) -> None:
    assert run(intake, *words)[0] == status


def test_ping_tells_whether_anybody_is_there(intake: IntakeProcess) -> None:
    assert run(intake, "ping")[0] == 0
    intake.terminate()
    status, _, told = run(intake, "ping")
    assert status == 1
    assert "make run" in told


def test_load_test_verifies_every_order(intake: IntakeProcess) -> None:
    status, (result,), _ = run(intake, "loadtest", "--orders", "3000", "--connections", "5", "--verify")
    assert (status, result["accepted"], result["passed"]) == (0, 3000, True)
    assert result["verdict"]["checked"] == 3000


@pytest.mark.intake(MAX_PEDIDOS_EN_COLA=50)
def test_load_test_comes_back_when_there_is_no_room(intake: IntakeProcess) -> None:
    status, (result,), _ = run(intake, "loadtest", "--orders", "500", "--connections", "5", "--verify")
    assert (status, result["accepted"]) == (0, 500)
    assert result["refused"]["queue_full"] > 0


def test_load_test_survives_a_restart_of_the_server(intake: IntakeProcess) -> None:
    environ = {**os.environ, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    command = [sys.executable, "-m", "clients", "loadtest", "--orders", "60000", "--pipeline", "8", "--verify"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        with intake.connect() as session:
            while session.ask("stats")["stats"]["aceptados"] < 2000:
                pass
        intake.kill()
        intake.start()
        output, _ = running.communicate(timeout=PATIENCE)
    result = json.loads(output)
    assert (running.returncode, result["accepted"], result["passed"]) == (0, 60000, True)


async def test_verification_names_what_is_lost_doubled_or_changed(intake: IntakeProcess) -> None:
    workload, measure = made_up_workload(20, keyed=True), Measure(20)
    await Generator(workload, measure, host="127.0.0.1", port=intake.port, pipeline=4).run(2)
    lost, other = "ffffffff-ffff-7000-8000-00000000ffff", measure.ids[1]
    measure.ids[0], measure.ids[1] = measure.ids[1], lost
    workload._orders[5]["cliente"] = "somebody else"
    async with IntakeClient("127.0.0.1", intake.port, timeout=60) as client:
        verdict = await verify(client, workload, measure, seconds=60, progress=lambda checked: None)
    assert not verdict.passed
    assert len(verdict.doubled) == 2
    assert verdict.changed == [measure.ids[5]]
    assert other is not None


def test_interrupt_ends_a_command_quietly(intake: IntakeProcess) -> None:
    environ = {**os.environ, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    command = [sys.executable, "-m", "clients", "order", "--auto", "--every", "0.01"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["estado"] == "en cola"
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=PATIENCE)
    assert (running.returncode, told) == (130, b"")
