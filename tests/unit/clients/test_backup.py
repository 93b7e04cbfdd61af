"""Backups: of one instant, whole or no backup, and restored whole or not at all."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clients.errors import ClientError
from clients.tools.backup import creation
from clients.tools.backup import restoration as restoring
from clients.tools.backup.creation import take_backup
from clients.tools.backup.file_copies import Throttle, copy_database, copy_file
from clients.tools.backup.locations import MANIFEST, StoreLocations
from clients.tools.backup.manifest import FORMAT, read_manifest
from clients.tools.backup.restoration import restore_backup
from clients.tools.backup.verification import check_backup
from shared.domain.covers import small_cover
from shared.domain.errors import StartupError
from shared.runtime.file_lock import FileLock
from shared.stores.sqlite.archiver import Archiver
from shared.stores.sqlite.database import Connection, Writer, connect, migrate, newest_schema
from shared.stores.sqlite.files import RESTORE_MARK, StoreFiles, make_folder
from shared.stores.sqlite.snapshot import Snapshot

FAST = Throttle(1e12)
NAMES = ["distributed.db", "manifest.json", "orders-progress.db", "orders.db", "records.db"]


DOCUMENT = json.dumps({"cliente": "Ana", "productos": ["pan" * 50] * 20, "direccion": "x"}, separators=(",", ":"))


def nothing(_: int) -> None:
    """Hears of progress."""


def add_order(orders: Connection, progress: Connection, sequence: int) -> None:
    orders.execute("INSERT INTO orders (sequence, received, document) VALUES (?, 1, ?)", (sequence, DOCUMENT))
    progress.execute("INSERT INTO progress (sequence, state, attempt) VALUES (?, 2, 1)", (sequence,))
    progress.execute("INSERT INTO moves (at, last, moves) VALUES (1, ?, '{}')", (sequence,))
    progress.execute("UPDATE totals SET orders = orders + 1 WHERE state = 2")


@pytest.fixture
def locations(tmp_path: Path) -> StoreLocations:
    """A store with ten orders, whose orders are elsewhere than the rest."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for folder in (data, elsewhere):
        folder.mkdir()
    locations = StoreLocations(StoreFiles(elsewhere / "shop.db"), data)
    writers = {}
    for one in locations.store_files:
        writers[one.name] = Writer(one.path)
        migrate(writers[one.name].connection, one.path, one.schema)
    orders, progress = writers["orders.db"].connection, writers["orders-progress.db"].connection
    orders.execute("INSERT INTO meta VALUES ('node', 7)")
    for sequence in range(1, 11):
        add_order(orders, progress, sequence)
    writers["distributed.db"].connection.execute("INSERT INTO meta VALUES ('orders', '7:10:10')")
    for writer in writers.values():
        writer.close()
    return locations


@contextlib.contextmanager
def opened(locations: StoreLocations, name: str) -> Iterator[Connection]:
    (path,) = (one.path for one in locations.store_files if one.name == name)
    with contextlib.closing(connect(path)) as connection:
        yield connection


def empty(tmp_path: Path) -> StoreLocations:
    return StoreLocations(StoreFiles(tmp_path / "restored" / "orders.db"), tmp_path / "restored")


def count(locations: StoreLocations) -> int:
    with opened(locations, "orders.db") as orders:
        return int(orders.execute("SELECT count(*) FROM orders").fetchone()[0])


def test_backup_is_verified_and_restored_elsewhere(locations: StoreLocations, tmp_path: Path) -> None:
    manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == NAMES
    assert manifest.facts.counts["orders"] == manifest.facts.counts["listo"] == 10
    assert manifest.facts.positions["distributed.orders"] == "7:10:10"
    assert check_backup(tmp_path / "b", locations, FAST, nothing) == manifest
    restored = empty(tmp_path)
    assert restore_backup(tmp_path / "b", manifest, restored, FAST, nothing, replace=False) == []
    make_folder(restored.data)
    assert count(restored) == 10


def test_only_the_owner_may_read_a_backup(locations: StoreLocations, tmp_path: Path) -> None:
    take_backup(locations, tmp_path / "b", FAST, nothing)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "b").iterdir()} == {0o600}


def test_snapshot_is_of_one_instant(locations: StoreLocations, monkeypatch: pytest.MonkeyPatch) -> None:
    # An order is accepted and done between the first look at the files and the second, and only once.
    versions = Snapshot._read_versions
    looks = 0
    with opened(locations, "orders.db") as orders, opened(locations, "orders-progress.db") as progress:

        def interrupted(self: Snapshot) -> list[int]:
            nonlocal looks
            looks += 1
            if looks == 2:
                add_order(orders, progress, 11)
            return versions(self)

        monkeypatch.setattr(Snapshot, "_read_versions", interrupted)
        paths = [one.path for one in locations.store_files]
        with contextlib.closing(Snapshot(paths)) as snapshot:
            seen = snapshot.readers[locations.orders.orders].execute("SELECT max(sequence) FROM orders").fetchone()
            assert seen == (11,)
            add_order(orders, progress, 12)
            for path, table in ((locations.orders.orders, "orders"), (locations.orders.progress, "progress")):
                assert snapshot.readers[path].execute(f"SELECT max(sequence) FROM {table}").fetchone() == (11,)


def test_what_is_committed_while_files_are_copied_is_in_none_of_them(
    locations: StoreLocations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_database
    with opened(locations, "orders.db") as orders, opened(locations, "orders-progress.db") as progress:
        sequences = iter(range(11, 100))

        def busy(*words: Any) -> None:
            add_order(orders, progress, next(sequences))
            copy(*words)

        monkeypatch.setattr(creation, "copy_database", busy)
        manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    assert manifest.facts.counts["orders"] == manifest.facts.counts["listo"] == 10
    assert manifest.facts.positions["outbox"] == "10"
    check_backup(tmp_path / "b", locations, FAST, nothing)


def test_archived_orders_belong_to_a_backup(locations: StoreLocations, tmp_path: Path) -> None:
    with contextlib.closing(Archiver(locations.orders)) as archiver:
        assert archiver.archive_before(2**60, nothing) == 10
    (file,) = locations.orders.archive.glob("*/*")
    name = f"archive/{file.relative_to(locations.orders.archive)}"
    manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    assert name in [copied.name for copied in manifest.files]
    check_backup(tmp_path / "b", locations, FAST, nothing)
    restored = empty(tmp_path)
    restore_backup(tmp_path / "b", manifest, restored, FAST, nothing, replace=False)
    assert [path.read_bytes() for path in restored.orders.archive.glob("*/*")] == [file.read_bytes()]
    stranger = tmp_path / "elsewhere" / "archive" / "2030-01"
    stranger.mkdir()
    restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=True)
    assert not stranger.exists()
    (tmp_path / "b" / name).write_bytes(b"")
    with pytest.raises(ClientError, match="damaged"):
        check_backup(tmp_path / "b", locations, FAST, nothing)


def test_covers_of_books_belong_to_a_backup(locations: StoreLocations, tmp_path: Path) -> None:
    name = f"{'0' * 40}.webp"
    for path, data in (
        (f"main/00/{name}", b"large"),
        (f"main/00/{small_cover(name)}", b"small"),
        ("main/00/x", b"odd"),
    ):
        (locations.covers / path).parent.mkdir(parents=True, exist_ok=True)
        (locations.covers / path).write_bytes(data)
    manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    assert sorted(file.name for file in manifest.files if file.name.startswith("covers/")) == [
        f"covers/main/00/{small_cover(name)}",
        f"covers/main/00/{name}",
    ]
    check_backup(tmp_path / "b", locations, FAST, nothing)
    restored = empty(tmp_path)
    restore_backup(tmp_path / "b", manifest, restored, FAST, nothing, replace=False)
    assert (restored.covers / "main/00" / name).read_bytes() == b"large"
    assert not (restored.covers / "main/00/x").exists()
    restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=True)
    assert len(list(locations.covers.glob("*/*/*"))) == 2


def test_a_manifest_leads_nowhere_else(locations: StoreLocations, tmp_path: Path) -> None:
    take_backup(locations, tmp_path / "b", FAST, nothing)
    path = tmp_path / "b" / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes())
    for name in ("../letter", "archive/../../letter", "archive/2030-01/../../orders.db", "letter", "covers/../x"):
        path.write_bytes(msgspec.json.encode({**manifest, "files": [{**manifest["files"][0], "name": name}]}))
        with pytest.raises(ClientError, match="does not know"):
            check_backup(tmp_path / "b", locations, FAST, nothing)


def test_half_a_backup_is_none_and_is_begun_again(
    locations: StoreLocations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(source: Connection, target: Path, *_: object) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(creation, "copy_database", cut)
        with pytest.raises(KeyboardInterrupt):
            take_backup(locations, tmp_path / "b", FAST, nothing)
    with pytest.raises(ClientError, match="not a complete backup"):
        check_backup(tmp_path / "b", locations, FAST, nothing)
    take_backup(locations, tmp_path / "b", FAST, nothing)
    check_backup(tmp_path / "b", locations, FAST, nothing)
    with pytest.raises(ClientError, match="has a backup already"):
        take_backup(locations, tmp_path / "b", FAST, nothing)


def test_backup_touches_no_files_of_others(locations: StoreLocations, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("mine")
    with pytest.raises(ClientError, match=r"letter\.txt"):
        take_backup(locations, tmp_path / "b", FAST, nothing)
    assert (tmp_path / "b" / "letter.txt").read_text() == "mine"


def test_nothing_to_back_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="nothing to back up"):
        take_backup(empty(tmp_path), tmp_path / "b", FAST, nothing)


@pytest.mark.parametrize("name", [name for name in NAMES if name != MANIFEST])
def test_one_wrong_byte_is_found(locations: StoreLocations, tmp_path: Path, name: str) -> None:
    take_backup(locations, tmp_path / "b", FAST, nothing)
    data = bytearray((tmp_path / "b" / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / "b" / name).write_bytes(data)
    with pytest.raises(ClientError, match=f"{name} is damaged: its checksum"):
        check_backup(tmp_path / "b", locations, FAST, nothing)


def test_missing_and_short_files_are_found(locations: StoreLocations, tmp_path: Path) -> None:
    take_backup(locations, tmp_path / "b", FAST, nothing)
    with (tmp_path / "b" / "records.db").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(ClientError, match="100 bytes instead of"):
        check_backup(tmp_path / "b", locations, FAST, nothing)
    (tmp_path / "b" / "records.db").unlink()
    with pytest.raises(ClientError, match="No such file"):
        check_backup(tmp_path / "b", locations, FAST, nothing)


def test_other_products_and_newer_schemas_are_refused(locations: StoreLocations, tmp_path: Path) -> None:
    take_backup(locations, tmp_path / "b", FAST, nothing)
    path = tmp_path / "b" / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes())
    for change in ({"product": "other"}, {"format": FORMAT + 1}, {"files": [{**manifest["files"][0], "schema": 99}]}):
        path.write_bytes(msgspec.json.encode({**manifest, **change}))
        with pytest.raises(ClientError, match=r"is of|schema version 99"):
            check_backup(tmp_path / "b", locations, FAST, nothing)
    path.write_bytes(b"{")
    with pytest.raises(ClientError, match="damaged"):
        check_backup(tmp_path / "b", locations, FAST, nothing)


def test_files_of_two_instants_are_found(
    locations: StoreLocations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `cp`: each file as it is when its turn comes."""
    copy = copy_database
    with opened(locations, "orders.db") as orders, opened(locations, "orders-progress.db") as progress:

        def careless(source: Connection, target: Path, *rest: Any) -> None:
            if target.name == "orders-progress.db":
                source.execute("ROLLBACK")
                add_order(orders, progress, 11)
            copy(source, target, *rest)

        monkeypatch.setattr(creation, "copy_database", careless)
        take_backup(locations, tmp_path / "b", FAST, nothing)
    with pytest.raises(ClientError, match=r"orders-progress\.db knows order 11, .* of orders\.db is 10"):
        check_backup(tmp_path / "b", locations, FAST, nothing)


def test_restore_refuses_a_running_suite(locations: StoreLocations, tmp_path: Path) -> None:
    manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    for path in locations.lock_files:
        lock = FileLock(path)
        assert lock.try_acquire()
        with pytest.raises(ClientError, match="a server is running"):
            restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=True)
        lock.close()
    assert count(locations) == 10


def test_restore_replaces_only_when_asked_to(locations: StoreLocations, tmp_path: Path) -> None:
    manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    with opened(locations, "orders.db") as orders, opened(locations, "orders-progress.db") as progress:
        add_order(orders, progress, 11)
        # As a kill leaves them, with a log that belongs to the former file.
        log = locations.orders.orders.with_name("shop.db-wal")
        kept = log.read_bytes()
    log.write_bytes(kept)
    (locations.orders.orders.parent / "shop-lists.db").write_bytes(b"derived")
    with pytest.raises(ClientError, match="there is a store already"):
        restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=False)
    former = restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=True)
    assert count(locations) == 10
    assert not (locations.orders.orders.parent / "shop-lists.db").exists()
    names = {path.name for folder in former for path in folder.iterdir()}
    assert {"shop.db", "shop.db-wal", "shop-lists.db", "shop-progress.db", "records.db", "distributed.db"} <= names


@pytest.mark.parametrize("step", ["place", "aside"])
def test_half_a_restore_starts_no_server_and_is_completed(
    locations: StoreLocations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    manifest = take_backup(locations, tmp_path / "b", FAST, nothing)
    with opened(locations, "orders.db") as orders, opened(locations, "orders-progress.db") as progress:
        add_order(orders, progress, 11)
    copy = copy_file
    done = 0

    def cut(*words: Any) -> str:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        return copy(*words)

    def cut_aside(path: Path, target: Path) -> Path:
        if path.suffix == ".db" and path.name.startswith("records"):
            raise KeyboardInterrupt
        path.rename(target)
        return target

    with monkeypatch.context() as patch:
        if step == "place":
            patch.setattr(restoring, "copy_file", cut)
        else:
            write = Path.replace
            patch.setattr(
                Path, "replace", lambda path, to: (cut_aside if to.parent.name != "data" else write)(path, to)
            )
        with pytest.raises(KeyboardInterrupt):
            restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=True)
    with pytest.raises(StartupError, match="was interrupted"):
        make_folder(locations.data)
    with pytest.raises(StartupError, match="was interrupted"):
        make_folder(locations.orders.orders.parent)
    # The former files are known to be set aside: it need not be asked for again.
    former = restore_backup(tmp_path / "b", manifest, locations, FAST, nothing, replace=False)
    assert count(locations) == 10
    assert not list(tmp_path.rglob(RESTORE_MARK))
    names = [path.name for folder in former for path in folder.iterdir()]
    assert sorted(names) == ["distributed.db", "records.db", "shop-progress.db", "shop.db"]
    with contextlib.closing(connect(former[-1] / "shop.db")) as orders:
        assert orders.execute("SELECT max(sequence) FROM orders").fetchone() == (11,)


def test_manifest_says_what_the_backup_is(locations: StoreLocations, tmp_path: Path) -> None:
    take_backup(locations, tmp_path / "b", FAST, nothing)
    manifest = read_manifest(tmp_path / "b")
    schemas = {one.name: newest_schema(one.schema) for one in locations.store_files}
    assert {file.name: file.schema for file in manifest.files} == schemas
    assert manifest.taken.endswith("Z")
