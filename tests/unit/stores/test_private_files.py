"""Who may read and write the files of the suite."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.errors import StartupError
from shared.stores.sqlite.database import Writer, connect
from shared.stores.sqlite.files import make_folder

ROOT = Path(__file__).parents[3]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_new_database_and_the_files_beside_it_are_their_owners_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "orders.db")
    with writer.transaction(1) as connection:
        connection.execute("CREATE TABLE one (id INTEGER)")
    modes = {path.name: mode(path) for path in tmp_path.iterdir()}
    writer.close()
    assert modes == {"orders.db": 0o600, "orders.db-wal": 0o600, "orders.db-shm": 0o600}


def test_database_of_an_older_version_becomes_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    path.touch(0o644)
    connect(path).close()
    assert mode(path) == 0o600


def test_new_folder_is_its_owners_alone_and_another_keeps_its_mode(tmp_path: Path) -> None:
    make_folder(tmp_path / "new" / "above" / "data")
    assert {mode(path) for path in tmp_path.rglob("*")} == {0o700}
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o1777)
    make_folder(volume)
    assert mode(volume) == 0o1777


@pytest.mark.parametrize("name", ["orders.db", "orders.db-wal", "records.db.lock", "uploads", "archive"])
def test_file_of_another_user_is_named_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 123_456_789)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) == tmp_path)
    with pytest.raises(StartupError, match="belongs to the user") as told:
        make_folder(tmp_path)
    assert name in told.value.message
    assert "by the user 123456789" in told.value.message
    assert "chown -R 123456789" in str(told.value.hint)


def test_other_files_in_the_folder_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) == tmp_path)
    make_folder(tmp_path)


def test_private_folders_are_not_made_with_parents_that_everybody_reads() -> None:
    open_parents = re.compile(r"mkdir\((mode=)?(PRIVATE_FOLDER|0o700), parents=True")
    programs = [path for top in ("clients", "services", "shared", "workers") for path in (ROOT / top).rglob("*.py")]
    assert [str(path) for path in programs if open_parents.search(path.read_text())] == []
