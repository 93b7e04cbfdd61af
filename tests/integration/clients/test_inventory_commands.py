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
    assert found["id"] in told
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
