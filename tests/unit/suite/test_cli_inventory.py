"""The commands around stock, in this process."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.simulation import pass_time_until

SAMPLE = str(Path(__file__).parents[3] / "docs/samples/inventory.csv")


@pytest.fixture(autouse=True)
async def persistence(suite: Suite) -> int:
    """A persistence server."""
    return await suite.start_persistence()


@pytest.fixture
async def inventory(suite: Suite, persistence: int) -> None:
    """The inventory service."""
    await suite.start_inventory()


async def test_faults_are_told_one_by_one(cli: InProcessCli) -> None:
    text = "store,item,count\nA,x,1\nA,y,-2\nA,z,2.5\n"
    status, faults, told = await cli.run("inventory", "upload", "-", stdin=text)
    assert status == 1
    assert [(fault["line"], fault["column"], fault["found"]) for fault in faults] == [(3, 5, "-2"), (4, 5, "2.5")]
    assert "2 errors" in told
    status, (report,), told = await cli.run("inventory", "upload", "-", "--dry-run", stdin=text)
    assert (status, report["faults"], "would be refused" in told) == (1, 2, True)
    assert (await cli.run("inventory", "set", "A", "x", "-1"))[0] == 2
    status, _, told = await cli.run("inventory", "upload", str(Path(SAMPLE).parent / "nothing.csv"))
    assert status == 1
    assert "cannot be read" in told


async def test_what_is_low_is_told_and_acknowledged(cli: InProcessCli, inventory: None) -> None:
    await cli.run("inventory", "set", "A", "x", "3")

    async def alerts() -> list[Any]:
        return (await cli.run("inventory", "alerts"))[1]

    found = await pass_time_until(alerts)
    assert (found[0]["item"], found[0]["count"], found[0]["state"]) == ("x", 3, "open")
    assert (await cli.run("inventory", "acknowledge", "A", "x"))[1][0]["state"] == "acknowledged"
    assert (await cli.run("inventory", "movements", "A", "x"))[1][0]["cause"] == "edit"
    assert (await cli.run("inventory", "stores"))[1][0]["low"] == 1


async def test_an_import_waits_for_a_service_that_is_away(suite: Suite, cli: InProcessCli) -> None:
    status, _, told = await cli.run("inventory", "upload", SAMPLE)
    assert status == 1
    assert "as soon as the inventory service runs" in told
    (found,) = (await cli.run("inventory", "imports"))[1]
    assert found["state"] == "accepted"
    await suite.start_inventory()

    async def is_applied() -> bool:
        return bool((await cli.run("inventory", "imports"))[1][0]["state"] == "applied")

    await pass_time_until(is_applied)


async def test_a_file_goes_in_is_looked_at_and_taken_back(cli: InProcessCli, inventory: None, tmp_path: Path) -> None:
    status, (report,), _ = await cli.run("inventory", "upload", SAMPLE, "--dry-run")
    assert (status, report["new"], report["faults"]) == (0, 10, 0)
    status, (found,), _ = await cli.run("inventory", "upload", SAMPLE)
    assert (status, found["state"], found["rows"], found["name"]) == (0, "applied", 10, "inventory.csv")
    status, _, told = await cli.run("inventory", "upload", SAMPLE)
    assert (status, found["id"] in told) == (1, True)
    assert (await cli.run("inventory", "set", "Madrid", "Kindle", "40"))[1][0]["count"] == 40
    target = tmp_path / "out.csv"
    assert (await cli.run("inventory", "export", "Madrid", "-o", str(target)))[0] == 0
    assert target.read_bytes().count(b"\r\n") == 6
    assert (await cli.run("inventory", "upload", str(target), "--dry-run"))[1][0]["same"] == 5
    assert (await cli.run("inventory", "upload", SAMPLE, "--dry-run", "--again"))[0] == 0
    assert (await cli.run("inventory", "undo", found["id"]))[1][0]["state"] == "undone"
    assert [one["id"] for one in (await cli.run("inventory", "imports"))[1]] == [found["id"]]
    # What was set by hand stays.
    assert [row["item"] for row in (await cli.run("inventory", "list"))[1]] == ["Kindle"]
    for words in (["imports"], ["list"], ["stores"], ["alerts"], ["movements", "Madrid", "Kindle"]):
        assert (await cli.show_on_terminal("inventory", *words))[0] == 0
    assert (await cli.run("ready", "inventory"))[1] == [{"status": "ok"}]
