"""The commands around the persistence server, in this process."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli


@pytest.fixture(autouse=True)
async def persistence(suite: Suite) -> int:
    """A persistence server."""
    return await suite.start_persistence()


async def test_files_in_and_out(suite: Suite, cli: InProcessCli, tmp_path: Path) -> None:
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text('[{"id":"A","n":0.10},{"id":"B"}]')
    status, results, told = await cli.run("data", "set", "-i", str(source), "-o", str(target), "-v")
    assert (status, results) == (0, [])
    assert f"port {suite.ports['tcp_persist_port']}" in told
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == ["A", "B"]
    assert [one["id"] for one in (await cli.run("data", "get", "-i", "-", stdin='{"ID":"B"}'))[1]] == ["B"]
    assert [one["id"] for one in (await cli.run("data", "list", "--limit", "1"))[1]] == ["A"]
    assert len((await cli.run("data", "logs"))[1]) == 5
    assert (await cli.run("data", "verify"))[1][0]["valid"] is True


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["get"], 2, "--input FILE"),
        (["set", "X", "cp"], 2, "NAME=VALUE"),
        (["set", "-i", "/no/such/file"], 1, "cannot be read"),
        (["list", "-o", "/no/such/folder/file"], 1, "cannot be written"),
        (["get", "X", "-p", "0"], 2, "not a port"),
    ],
)
async def test_wrong_usage_is_told(cli: InProcessCli, words: list[str], status: int, told: str) -> None:
    found, _, error = await cli.run("data", *words)
    assert found == status
    assert told in error


async def test_record_is_set_shown_and_deleted(cli: InProcessCli) -> None:
    status, (stored,), _ = await cli.run("data", "set", "X", 'cp="3260"', "n=1.5", "name=hola", "--uuid", "cpu-1")
    assert status == 0
    assert stored == {"id": "X", "version": 1, "data": {"cp": "3260", "n": Decimal("1.5"), "name": "hola"}}
    assert (await cli.run("data", "get", "X"))[1] == [stored]
    _, (entry,), _ = await cli.run("data", "history", "X")
    assert (entry["action"], entry["CPUid"]) == ("set", "cpu-1")
    assert [(await cli.run("data", "delete", "X"))[0] for _ in range(2)] == [0, 1]
    status, results, told = await cli.run("data", "get", "X")
    assert (status, results, "there is no record X" in told) == (1, [], True)
    assert (await cli.run("data", "ping"))[0] == 0


@pytest.mark.parametrize(("word", "told"), [("a={1}", "quote it"), ("a", "NAME=VALUE")])
async def test_member_that_looks_like_json_has_to_be_some(cli: InProcessCli, word: str, told: str) -> None:
    status, _, error = await cli.run("data", "set", "X", word)
    assert (status, told in error) == (2, True)
