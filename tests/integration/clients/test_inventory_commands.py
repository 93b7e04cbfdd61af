"""The commands around stock, as people and scripts run them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.clients.test_data_commands import run
from tests.support.intake import InventoryProcess, PersistenceProcess

SAMPLE = str(Path(__file__).parents[3] / "docs/samples/inventory.csv")


@pytest.fixture
def inventory(persistence: PersistenceProcess) -> Iterator[InventoryProcess]:
    """The inventory service."""
    with InventoryProcess(persistence.data_dir, [persistence]) as process:
        yield process


def test_a_file_goes_in_is_looked_at_and_taken_back(
    persistence: PersistenceProcess, inventory: InventoryProcess, tmp_path: Path
) -> None:
    status, (report,), _ = run(persistence, "inventory", "upload", SAMPLE, "--dry-run")
    assert (status, report["new"], report["faults"]) == (0, 10, 0)
    status, (found,), _ = run(persistence, "inventory", "upload", SAMPLE)
    assert (status, found["state"], found["rows"], found["name"]) == (0, "applied", 10, "inventory.csv")
    status, _, told = run(persistence, "inventory", "upload", SAMPLE)
    assert status == 1
    assert "imported before" in told
    rows = run(persistence, "inventory", "list", "Madrid")[1]
    assert [row["count"] for row in rows if row["item"] == "Jamón ibérico, loncheado"] == [9]
    assert run(persistence, "inventory", "set", "Madrid", "Kindle", "40")[1][0]["count"] == 40
    target = tmp_path / "out.csv"
    assert run(persistence, "inventory", "export", "Madrid", "-o", str(target))[0] == 0
    assert target.read_bytes().count(b"\r\n") == 6
    assert run(persistence, "inventory", "upload", str(target), "--dry-run")[1][0]["same"] == 5
    status, _, told = run(persistence, "inventory", "upload", SAMPLE, "--dry-run")
    assert (status, "would be refused" in told) == (1, True)
    assert run(persistence, "inventory", "upload", SAMPLE, "--dry-run", "--again")[0] == 0
    assert run(persistence, "inventory", "undo", found["id"])[1][0]["state"] == "undone"
    assert [one["id"] for one in run(persistence, "inventory", "imports")[1]] == [found["id"]]
    # What was set by hand stays.
    assert [row["item"] for row in run(persistence, "inventory", "list")[1]] == ["Kindle"]


def test_faults_are_told_one_by_one(persistence: PersistenceProcess) -> None:
    text = "store,item,count\nA,x,1\nA,y,-2\nA,z,2.5\n"
    status, faults, told = run(persistence, "inventory", "upload", "-", stdin=text)
    assert status == 1
    assert [(fault["line"], fault["column"], fault["found"]) for fault in faults] == [(3, 5, "-2"), (4, 5, "2.5")]
    assert "2 errors" in told
    status, (report,), told = run(persistence, "inventory", "upload", "-", "--dry-run", stdin=text)
    assert (status, report["faults"], "would be refused" in told) == (1, 2, True)
    assert run(persistence, "inventory", "set", "A", "x", "-1")[0] == 2
    status, _, told = run(persistence, "inventory", "upload", str(Path(SAMPLE).parent / "nothing.csv"))
    assert status == 1
    assert "cannot be read" in told


def test_what_is_low_is_told_and_acknowledged(persistence: PersistenceProcess, inventory: InventoryProcess) -> None:
    run(persistence, "inventory", "set", "A", "x", "3")
    while not (found := run(persistence, "inventory", "alerts")[1]):
        pass
    assert (found[0]["item"], found[0]["count"], found[0]["state"]) == ("x", 3, "open")
    assert run(persistence, "inventory", "acknowledge", "A", "x")[1][0]["state"] == "acknowledged"
    assert run(persistence, "inventory", "movements", "A", "x")[1][0]["cause"] == "edit"
    assert run(persistence, "inventory", "stores")[1][0]["low"] == 1


def test_an_import_waits_for_a_service_that_is_away(persistence: PersistenceProcess) -> None:
    status, _, told = run(persistence, "inventory", "upload", SAMPLE)
    assert status == 1
    assert "as soon as the inventory service runs" in told
    (found,) = run(persistence, "inventory", "imports")[1]
    assert found["state"] == "accepted"
    with InventoryProcess(persistence.data_dir, [persistence]):
        while run(persistence, "inventory", "imports")[1][0]["state"] != "applied":
            pass
