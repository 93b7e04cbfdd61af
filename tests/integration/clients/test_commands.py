"""The command line as people and scripts run it."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients.access import Target
from clients.tools.loadtest.worker_killer import WorkerKiller
from tests.support.intake import LOOK_SECONDS, PATIENCE, IntakeProcess

pytestmark = pytest.mark.shared_intake

FLAGS = ["--cliente", "Ana Paz", "--producto", "pan", "--producto", "agua:2:0.80", "--direccion", "Mayor 1"]


def parsed(line: str) -> Any:
    """A result, its prices with all their digits."""
    return json.loads(line, parse_float=Decimal)


def run(intake: IntakeProcess, *words: str, stdin: str = "") -> tuple[int, list[Any], str]:
    """Runs a command: its exit status, its results, and what it wrote to standard error."""
    environ = {**os.environ, "SERVER_HOST": "::", "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    command = [sys.executable, "-m", "clients", *words]
    ended = subprocess.run(
        command, env=environ, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, [parsed(line) for line in ended.stdout.splitlines()], ended.stderr


def test_order_from_flags_is_followed_to_the_end(intake: IntakeProcess) -> None:
    status, (accepted, final), _ = run(intake, "order", *FLAGS, "--follow")
    assert (status, accepted["estado"], final["estado"]) == (0, "en cola", "listo")
    assert final["productos"] == ["pan", {"producto": "agua", "cantidad": 2, "precio": Decimal("0.80")}]
    for words in (["status", final["id"]], ["list", "--cliente", "Ana Paz"], ["list", "--estado", "listo"]):
        assert run(intake, *words)[1][0]["id"] == final["id"]
    assert run(intake, "explain", final["id"])[1][0]["pasos"]


# The other kinds are tried in one process: tests/unit/suite/test_cli_orders.py.
@pytest.mark.parametrize(("words", "status"), [(["list", "--limite", "0"], 2), (["status", "no"], 1)])
def test_exit_status_tells_wrong_usage_from_errors(intake: IntakeProcess, words: list[str], status: int) -> None:
    ended, results, told = run(intake, *words)
    assert (ended, results) == (status, [])
    assert told


def test_prompts_and_tables_on_a_terminal(intake: IntakeProcess) -> None:
    typed = b"[/red] Ana\nagua:2\npan\n\nMayor 1\n"
    text = on_a_terminal(intake, ["order", "--follow"], typed)
    assert "listo" in text
    listed = on_a_terminal(intake, ["list"], b"")
    assert "[/red] Ana" in listed
    assert "2 x agua, pan" in listed


FUSSY = "tests.support.kitchens:fussy"


@pytest.mark.intake(ORDER_HANDLER=FUSSY, MAX_ATTEMPTS=2, RETRY_SECONDS=0.01)
def test_order_that_fails_is_explained_wherever_it_is_shown(intake: IntakeProcess) -> None:
    words = ["order", "--cliente", "fails", "--producto", "pan", "--direccion", "d", "--follow"]
    status, (_, final), told = run(intake, *words)
    assert (status, final["estado"]) == (1, "fallido")
    assert f"order {final['id']} ended fallido after 2 attempts: RuntimeError: no flour" in told
    for width in (60, 80, 200):
        for words in (["list", "--estado", "fallido"], ["status", final["id"]], ["explain", final["id"]]):
            shown = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(intake, words, b"", width=width))
            assert final["id"] in shown
            assert "RuntimeError: no flour" in " ".join(shown.split())
            assert all(len(line) <= width for line in shown.splitlines()) or words[0] == "explain"
    explained = on_a_terminal(intake, ["explain", final["id"]], b"")
    assert "kitchens.py" in explained
    assert "attempt 2 failed" in explained
    assert "2 attempts" in on_a_terminal(intake, ["list"], b"", width=80)


@pytest.mark.intake(PROCESSING_SECONDS=0)
def test_order_that_is_cancelled_while_it_is_followed_exits_with_an_error(intake: IntakeProcess) -> None:
    with started(intake, "order", *FLAGS, "--no-antes-de", "2999-01-01T00:00:00Z", "--follow") as following:
        assert following.stdout is not None
        order_id = json.loads(following.stdout.readline())["id"]
        run(intake, "cancel", order_id)
        _, told = following.communicate(timeout=PATIENCE)
    assert following.returncode == 1
    assert f"order {order_id} ended cancelado" in told.decode()


def on_a_terminal(
    intake: IntakeProcess,
    words: list[str],
    typed: bytes,
    *,
    width: int = 200,
    settings: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
) -> str:
    """What a command shows on a terminal of its own, once it has ended well."""
    environ = {
        **os.environ,
        "SERVER_PORT": str(intake.port),
        "ENV_FILE": "/dev/null",
        "COLUMNS": str(width),
        **(settings or {}),
    }
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *words], env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        os.write(ours, typed)
        shown = b""
        # Reading fails once nobody holds the other end any more.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        assert running.wait(PATIENCE) == 0, shown
    return shown.decode(encoding)


def test_reader_that_has_enough_ends_a_command_quietly(intake: IntakeProcess) -> None:
    with started(intake, "order", "--auto", "--every", "0") as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr is not None
        told = running.stderr.read()
    assert (running.returncode, told) == (141, b"")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_command_quietly(intake: IntakeProcess, number: signal.Signals, status: int) -> None:
    with started(intake, "order", "--auto", "--every", "0.01") as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["estado"] == "en cola"
        running.send_signal(number)
        _, told = running.communicate(timeout=PATIENCE)
    assert (running.returncode, told) == (status, b"")


@pytest.mark.intake
def test_automatic_mode_outlives_the_server(intake: IntakeProcess) -> None:
    with started(intake, "order", "--auto", "--every", "0.05", "--count", "1000") as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        intake.kill()
        intake.start()
        with intake.connect() as session:
            before = session.ask("stats")["stats"]["aceptados"]
            while session.ask("stats")["stats"]["aceptados"] == before:
                time.sleep(LOOK_SECONDS)
        running.terminate()
        running.communicate(timeout=PATIENCE)


def started(intake: IntakeProcess, *words: str) -> "subprocess.Popen[bytes]":
    """A command that goes on until it is stopped."""
    environ = {**os.environ, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    # As most people have it: what cannot be written stays in the interpreter's buffer until the end.
    environ.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-m", "clients", *words]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.intake
def test_ping_tells_whether_anybody_is_there(intake: IntakeProcess) -> None:
    assert run(intake, "ping")[0] == 0
    intake.terminate()
    status, _, told = run(intake, "ping")
    assert status == 1
    assert "start one: " in told


@pytest.mark.intake
def test_load_test_without_flags_sends_what_the_docs_show(intake: IntakeProcess, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, (result,), told = run(intake, "loadtest", "--verify", "--report", str(page))
    assert (status, result["sent"], result["asked_rate"]) == (0, 10_000, 2000)
    assert len(result["course"]["rate"]) >= 20
    assert told.splitlines()[-1] == "held: 10,000 orders are stored once, unchanged and listo"
    assert "Held: 10,000 orders" in page.read_text()


def test_load_test_verifies_every_order(intake: IntakeProcess) -> None:
    status, (result,), _ = run(intake, "loadtest", "--orders", "3000", "--connections", "5", "--verify")
    assert (status, result["accepted"], result["passed"]) == (0, 3000, True)
    assert result["verdict"]["checked"] == 3000


@pytest.mark.intake(MAX_PEDIDOS_EN_COLA=50)
def test_load_test_comes_back_when_there_is_no_room(intake: IntakeProcess) -> None:
    status, (result,), _ = run(intake, "loadtest", "--orders", "500", "--connections", "5", "--verify")
    assert (status, result["accepted"]) == (0, 500)
    assert result["refused"]["queue_full"] > 0


@pytest.mark.intake(MAX_PEDIDOS_EN_COLA=50, PROCESSING_SECONDS=3600, SHUTDOWN_SECONDS=1)
def test_load_test_gives_up_what_is_refused_when_its_time_is_over(intake: IntakeProcess) -> None:
    status, (result,), _ = run(intake, "loadtest", "--seconds", "0.5", "--connections", "5")
    assert (status, result["accepted"]) == (0, 50)
    assert result["given_up"] > 0


def test_load_test_keeps_a_rate_and_shows_it_beside_a_baseline(intake: IntakeProcess, tmp_path: Path) -> None:
    before, page = tmp_path / "before.json", tmp_path / "page.html"
    words = ["loadtest", "--seconds", "0.5", "--rate", "400", "--family", "4", "--verify"]
    status, (result,), _ = run(intake, *words)
    assert (status, result["verdict"]["checked"]) == (0, result["accepted"])
    # The first is due at once, the others evenly; a busy machine ends the half second late.
    assert 0 < result["accepted"] <= 2 + 400 * result["seconds"]
    before.write_text(json.dumps(result, default=float))
    status, _, told = run(intake, *words, "--baseline", str(before), "--report", str(page))
    assert status == 0
    assert "baseline" in told
    assert page.read_text().count("<svg") == 3
    assert "http" not in page.read_text()


@pytest.mark.intake
def test_load_test_kills_workers_and_nothing_is_lost(intake: IntakeProcess) -> None:
    status, (result,), told = run(intake, "loadtest", "--seconds", "5", "--rate", "500", "--verify", "--chaos")
    assert (status, result["verdict"]["lost"]) == (0, []), told
    assert result["killed"] > 0


@pytest.mark.intake
def test_killer_waits_for_workers_that_are_starting(intake: IntakeProcess) -> None:
    asyncio.run(WorkerKiller(Target("127.0.0.1", intake.port)).check_server())


def test_load_test_sends_a_file_and_sees_that_prices_and_times_are_kept(intake: IntakeProcess, tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_text(
        '{"request_id":"x","cliente":"a","productos":["b",{"producto":"c"},{"producto":"d","precio":0.80}],'
        '"direccion":"e"}\n'
        '{"cliente":"é","productos":[{"producto":"c","cantidad":1,"precio":"1.50"}],"direccion":"e",'
        '"prioridad":"normal","no_antes_de":"2020-01-01T00:00:00+02:00"}\n'
    )
    for words in ([], ["--verify"]):
        status, (result,), told = run(intake, "loadtest", "--input", str(file), "--orders", "9", *words)
        assert (status, result["accepted"]) == (0, 9), told


@pytest.mark.intake
def test_load_test_does_not_wait_for_orders_of_others(intake: IntakeProcess) -> None:
    run(intake, "order", *FLAGS, "--no-antes-de", "2999-01-01T00:00:00Z")
    assert run(intake, "loadtest", "--orders", "10", "--verify")[0] == 0


@pytest.mark.intake(PROCESSING_SECONDS=3600, SHUTDOWN_SECONDS=1)
def test_load_test_names_what_does_not_become_final(intake: IntakeProcess) -> None:
    status, (result,), told = run(intake, "loadtest", "--orders", "12", "--verify", "--timeout", "0")
    assert (status, result["passed"]) == (1, False)
    assert len(result["verdict"]["unfinished"]) == 12
    assert "unfinished: 12 orders, such as" in told
    assert told.splitlines()[-1] == "did not hold: 12 unfinished (exit status 1)"


@pytest.mark.intake
def test_load_test_survives_a_restart_of_the_server(intake: IntakeProcess) -> None:
    with started(intake, "loadtest", "--orders", "60000", "--pipeline", "8", "--verify") as running:
        with intake.connect() as session:
            while session.ask("stats")["stats"]["aceptados"] < 2000:
                time.sleep(LOOK_SECONDS)
        intake.kill()
        intake.start()
        output, _ = running.communicate(timeout=PATIENCE)
    result = json.loads(output)
    assert (running.returncode, result["accepted"], result["passed"]) == (0, 60000, True)
