"""Old entries of the audit log move to files, and what is left still proves itself."""

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.persistence import audit_retention
from services.persistence.audit import TENANT, Audit, entry_hash
from services.persistence.audit_retention import AuditRetention
from shared.domain.errors import StoreError
from shared.domain.records import Delete, Transaction
from shared.domain.tables import suite_tables
from shared.stores.ports.records import RecordQuery
from shared.stores.sqlite.records import SqliteRecordStore

TABLES = suite_tables("CorporateData", "CorporateLog")
LOG = TABLES["CorporateLog"]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRecordStore]:
    """An empty store."""
    made = SqliteRecordStore(tmp_path / "records.db", TABLES)
    yield made
    await made.close()


async def write_entries(store: SqliteRecordStore, audit: Audit, count: int, year: int) -> None:
    """Adds entries of the beginning of a year, each in a commit of its own."""
    for _ in range(count):
        entry = audit.append_entry(
            "get", {}, record=None, who="test", session="s", now=f"{year}-01-01T00:00:00.000000Z"
        )
        end = audit.end_record()
        assert end is not None
        await store.write([Transaction(TENANT, [], journal=entry), end])


async def open_audit(store: SqliteRecordStore) -> Audit:
    audit = Audit(store, LOG, "main")
    await audit.load_end()
    return audit


def archived_entries(folder: Path) -> list[Any]:
    files = sorted(folder.rglob("*.gz"))
    return [json.loads(line) for path in files for line in gzip.decompress(path.read_bytes()).splitlines()]


async def test_old_entries_move_to_files_and_the_chain_goes_on_behind_them(
    store: SqliteRecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_retention, "_FILE_ENTRIES", 90)
    monkeypatch.setattr(audit_retention, "_PAGE", 40)
    audit = await open_audit(store)
    await write_entries(store, audit, 205, 2020)
    await write_entries(store, audit, 3, 2999)
    retention = AuditRetention(store, audit, tmp_path / "audit", keep_days=30)
    assert await retention.move_old() == 205
    assert await retention.move_old() == 0
    moved = archived_entries(tmp_path / "audit")
    assert [entry["number"] for entry in moved] == list(range(1, 206))
    assert all(entry["hash"] == entry_hash(entry) for entry in moved)
    assert await audit.verify_chains() == {"valid": True, "entries": 3, "chains": 1, "archived": 205}
    await write_entries(store, audit, 1, 2999)
    again = await open_audit(store)
    await write_entries(store, again, 1, 2999)
    assert await again.verify_chains() == {"valid": True, "entries": 5, "chains": 1, "archived": 205}


async def test_log_of_which_everything_has_moved_goes_on(store: SqliteRecordStore, tmp_path: Path) -> None:
    audit = await open_audit(store)
    await write_entries(store, audit, 5, 2020)
    assert await AuditRetention(store, audit, tmp_path / "audit", keep_days=30).move_old() == 5
    again = await open_audit(store)
    await write_entries(store, again, 2, 2020)
    assert await again.verify_chains() == {"valid": True, "entries": 2, "chains": 1, "archived": 5}


@pytest.mark.parametrize("write", [1, 2])
async def test_move_that_was_interrupted_is_completed(
    store: SqliteRecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Before the first write the file is there; before the second one it counts as well."""
    audit = await open_audit(store)
    await write_entries(store, audit, 5, 2020)
    retention = AuditRetention(store, audit, tmp_path / "audit", keep_days=30)
    writes = 0
    commit = store.write

    async def commit_or_die(transactions: Sequence[Transaction]) -> Any:
        nonlocal writes
        writes += 1
        if writes == write:
            raise StoreError("killed")
        return await commit(transactions)

    monkeypatch.setattr(store, "write", commit_or_die)
    with pytest.raises(StoreError, match="killed"):
        await retention.move_old()
    assert (await audit.verify_chains())["valid"]
    assert await retention.move_old() == (5 if write == 1 else 0)
    assert [entry["number"] for entry in archived_entries(tmp_path / "audit")] == [1, 2, 3, 4, 5]
    assert (await store.query(RecordQuery(TENANT, LOG.name, partition="main"))).records == []
    assert await audit.verify_chains() == {"valid": True, "entries": 0, "chains": 1, "archived": 5}


async def test_entries_that_are_cut_off_behind_the_moved_ones_show(store: SqliteRecordStore, tmp_path: Path) -> None:
    audit = await open_audit(store)
    await write_entries(store, audit, 5, 2020)
    await write_entries(store, audit, 5, 2999)
    await AuditRetention(store, audit, tmp_path / "audit", keep_days=30).move_old()
    await store.write([Transaction(TENANT, [Delete(LOG.name, {"chain": "main", "number": 6})])])
    proof = await audit.verify_chains()
    assert (proof["valid"], proof["broken"]["number"]) == (False, 6)
