"""The command line where the terminal, the disk or the files are not as one would wish."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.clients.test_commands import on_a_terminal
from tests.support.intake import PATIENCE, IntakeProcess

NAME = "名前 é 😀"
ORDER = ["--cliente", NAME, "--producto", "TV 16:9", "--direccion", "Mayor 1"]
FULL = Path("/dev/full")
NETCAT = shutil.which("nc")


def clients(intake: IntakeProcess, *words: str | bytes, **settings: str) -> "subprocess.CompletedProcess[bytes]":
    """Runs a command with an environment of its own."""
    environ = {**os.environ, "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null", **settings}
    command = [sys.executable, "-m", "clients", *words]
    return subprocess.run(command, env=environ, capture_output=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "latin-1", "LC_ALL=C"],
)
def test_any_name_is_sent_and_shown_whatever_the_encoding(intake: IntakeProcess, settings: dict[str, str]) -> None:
    placed = clients(intake, "order", *ORDER, "--follow", **settings)
    assert (placed.returncode, b"Traceback" in placed.stderr) == (0, False), placed.stderr
    final = json.loads(placed.stdout.splitlines()[-1].decode(settings.get("PYTHONIOENCODING", "ascii")))
    assert (final["cliente"], final["productos"]) == (NAME, ["TV 16:9"])
    assert b"taken as a name" in placed.stderr
    for words in (["list"], ["status", final["id"]]):
        shown = on_a_terminal(intake, words, b"", settings=settings, encoding="latin-1")
        assert final["id"] in shown
        assert r"\u540d" in shown
    refused = clients(intake, "order", "--cliente", NAME, **settings)
    assert (refused.returncode, b"Traceback" in refused.stderr) == (1, False)


def test_word_that_is_not_utf_8_is_wrong_usage(intake: IntakeProcess) -> None:
    refused = clients(intake, "order", "--cliente", b"\xff\xfe")
    assert refused.returncode == 2
    assert refused.stderr.startswith(b"error: ")
    assert b"not UTF-8" in refused.stderr


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["list"], ["health"], ["order", *ORDER], ["--help"], ["--version"]], ids=str)
def test_full_disk_is_an_error_in_one_line(intake: IntakeProcess, words: list[str]) -> None:
    assert clients(intake, "order", *ORDER).returncode == 0
    environ = {**os.environ, "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    environ.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-m", "clients", *words]
    with FULL.open("wb") as full:
        ended = subprocess.run(command, env=environ, stdout=full, stderr=subprocess.PIPE, check=False)
    told = [line for line in ended.stderr.splitlines() if not line.startswith(b"note")]
    assert (ended.returncode, told) == (1, [b"error: the output cannot be written: No space left on device"])


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_command_that_can_tell_nobody_of_its_error_ends_with_its_status(intake: IntakeProcess) -> None:
    environ = {**os.environ, "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    command = [sys.executable, "-m", "clients", "status", "nope"]
    with FULL.open("wb") as full:
        assert subprocess.run(command, env=environ, stdout=full, stderr=full, check=False).returncode == 1


@pytest.mark.parametrize(
    "content",
    [r'{"cliente":"\ud800","productos":["x"]}', "[" * 100_000, '{"cliente":"a","cliente":"b"}'],
    ids=["half of a pair", "deep", "twice"],
)
def test_file_that_is_no_strict_json_is_an_error_in_one_line(
    intake: IntakeProcess, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "orders.json"
    file.write_text(content)
    for words in (["order", "--file"], ["data", "set", "--input"], ["loadtest", "--input"]):
        ended = clients(intake, *words, str(file))
        (told,) = ended.stderr.splitlines()
        assert (ended.returncode, told.startswith(f"error: {file}".encode())) == (1, True), (words, told)


@pytest.mark.parametrize("number", ["1e400", "9" * 5000, '{"a":[1e400]}'], ids=["1e400", "digits", "inner"])
def test_number_that_is_too_large_is_an_error_in_one_line(intake: IntakeProcess, number: str) -> None:
    ended = clients(intake, "data", "set", "X", f"v={number}", TCP_PERSIST_PORT="1")
    (told,) = ended.stderr.splitlines()
    assert ended.returncode in (1, 2)
    assert told.startswith(b"error: ")


def test_refused_order_of_a_file_is_named_by_its_place(intake: IntakeProcess, tmp_path: Path) -> None:
    file = tmp_path / "orders.ndjson"
    good = '{"cliente":"a","productos":["b"],"direccion":"c"}'
    file.write_text(f'{good}\n{good[:-1]},"x":1}}\n')
    ended = clients(intake, "order", "--file", str(file))
    assert (ended.returncode, len(ended.stdout.splitlines())) == (1, 1)
    assert ended.stderr.startswith(f"error: {file}, line 2: x is not a known field".encode())
    file.write_text(f'[{good},{good[:-1]},"no_antes_de":"tomorrow"}}]')
    ended = clients(intake, "order", "--file", str(file))
    assert ended.stderr.startswith(f"error: {file}, order 2: no_antes_de".encode())
    assert b"as 2030-01-31T08:00:00Z" in ended.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault_of_a_command(intake: IntakeProcess, closed: str) -> None:
    environ = {**os.environ, "SERVER_PORT": str(intake.port), "ENV_FILE": "/dev/null"}
    for words in ("list", "order"):
        command = f"{sys.executable} -m clients {words} {closed}"
        ended = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, check=False)
        assert "Traceback" not in ended.stderr
        assert ended.returncode == {"list": 0, "order": 2}[words]


def test_list_never_cuts_an_id(intake: IntakeProcess) -> None:
    long = ["order", "--cliente", "a name of some length", *("--producto", "a product of some length") * 5]
    order_id = json.loads(clients(intake, *long, "--direccion", "d").stdout)["id"]
    for width in (40, 60, 80, 120):
        shown = on_a_terminal(intake, ["list"], b"", width=width)
        assert order_id in shown
        assert width == 120 or "a name of some length" in " ".join(shown.split())


@pytest.mark.skipif(NETCAT is None, reason="nc is not installed")
@pytest.mark.parametrize(
    "command",
    ["echo '{order}' | nc -N {to}", "printf '{order}' | nc {to}", r"printf '{order}\nquit\n' | nc {to}"],
    ids=["-N", "no newline", "quit"],
)
def test_netcat_ends_with_the_answer(intake: IntakeProcess, command: str) -> None:
    order = '{"cliente":"a","productos":["x"],"direccion":"d"}'
    line = command.replace("{order}", order).replace("{to}", f"127.0.0.1 {intake.port}")
    ended = subprocess.run(["bash", "-c", line], capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0
    answers = [json.loads(answer) for answer in ended.stdout.splitlines()]
    assert answers[1]["estado"] == "en cola"


@pytest.mark.skipif(NETCAT is None, reason="nc is not installed")
@pytest.mark.intake(ONE_SHOT_SECONDS="60", PIPED_SECONDS="0.2")
def test_netcat_at_the_end_of_a_pipe_ends_by_itself(intake: IntakeProcess) -> None:
    order = '{"cliente":"a","productos":["x"],"direccion":"d"}'
    line = f"echo '{order}' | nc 127.0.0.1 {intake.port}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0
    answers = [json.loads(answer) for answer in ended.stdout.splitlines()]
    assert answers[1]["estado"] == "en cola"
