"""The files of the audit log of users."""

import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from shared.stores.audit_log import KINDS, AuditLog, list_audit_files


def read_entries(folder: Path, kind: str) -> list[dict[str, Any]]:
    files = [path for path in list_audit_files(folder, KINDS) if f"-{kind}-" in path.name]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


async def test_entries_of_both_kinds_are_kept_apart_private_and_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", "gateway", max_bytes=2**20)
    log.record_change("cancel", user="ana", id="1", trace=None)
    log.record_access("sign_in", user="ana", text="x" * 1000)
    log.record_change("retry", user="eva", id="2")
    await log.close()
    changes = read_entries(tmp_path / "audit", "changes")
    assert [(entry["action"], entry["user"], entry["server"]) for entry in changes] == [
        ("cancel", "ana", "gateway"),
        ("retry", "eva", "gateway"),
    ]
    assert "trace" not in changes[0]
    (access,) = read_entries(tmp_path / "audit", "access")
    assert len(access["text"]) == 256
    assert access["at"].endswith("Z")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "audit").iterdir()} == {0o600}
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700


async def test_size_is_bounded_and_the_newest_entries_stay(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "gateway", max_bytes=64_000)
    log.record_access("sign_in", user="ana")
    for number in range(5000):
        log.record_change("cancel", user="ana", id=str(number))
        if number % 10 == 0:
            await log.close()
    await log.close()
    size = sum(path.stat().st_size for path in list_audit_files(tmp_path, ["changes"]))
    assert 32_000 < size <= 64_000
    kept = [int(entry["id"]) for entry in read_entries(tmp_path, "changes")]
    assert kept == list(range(kept[0], 5000))
    assert len(read_entries(tmp_path, "access")) == 1


async def test_what_cannot_be_written_is_counted_and_reported_once_and_the_log_goes_on(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file in the place of the folder")
    log = AuditLog(tmp_path / "audit", "intake", max_bytes=2**20)
    with capture_logs() as told:
        for _ in range(3):
            log.record_change("cancel", id="1")
        await log.close()
    assert [(entry["event"], entry["entries"]) for entry in told] == [("audit_entries_lost", 3)]
    (tmp_path / "audit").unlink()
    log.record_change("cancel", id="2")
    await log.close()
    assert [entry["id"] for entry in read_entries(tmp_path / "audit", "changes")] == ["2"]


async def test_entries_that_wait_are_bounded(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "intake", max_bytes=2**24)
    with capture_logs() as told:
        for number in range(10_007):
            log.record_change("cancel", id=str(number))
        await log.close()
    entry: MutableMapping[str, Any] = told[0]
    assert (entry["event"], entry["entries"]) == ("audit_entries_lost", 7)
