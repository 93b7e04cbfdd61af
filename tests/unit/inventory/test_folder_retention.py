"""Files that were filed away long ago are deleted, and nothing else is."""

import time
from pathlib import Path
from typing import Any, cast

import pytest

from services.inventory import folder as folders
from services.inventory.folder import FolderImporter

DAY = 86_400


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    """Files that were filed away just now, and others."""
    for name in ("done/a.csv", "rejected/b.csv", "rejected/b.csv.report.json", "done/folder/c.csv", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "done" / "link").symlink_to(tmp_path / "notes.md")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("keep", "passed", "left"), [(0, 999, 6), (2, 1, 6), (2, 3, 3)])
async def test_files_are_deleted_when_they_are_old(
    uploads: Path, monkeypatch: pytest.MonkeyPatch, keep: int, passed: int, left: int
) -> None:
    now = time.time() + passed * DAY
    monkeypatch.setattr(folders.time, "time", lambda: now)  # type: ignore[attr-defined]
    await FolderImporter(cast(Any, None), uploads, max_bytes=1, keep_days=keep).scan_folder()
    assert len(names(uploads)) == left
    assert {"done/folder/c.csv", "done/link", "notes.md"} <= set(names(uploads))
