"""Creates a backup of a suite, which may be running."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from clients.errors import ClientError
from clients.tools.backup.facts import gather_facts
from clients.tools.backup.file_copies import ProgressCallback, Throttle, copy_database, copy_file, digest_file
from clients.tools.backup.locations import ARCHIVE, MANIFEST, PROGRESS, StoreLocations
from clients.tools.backup.manifest import CopiedFile, Facts, Manifest, write_manifest
from shared import VERSION
from shared.domain.covers import COVERS, is_cover_file
from shared.domain.orders import iso_time
from shared.runtime.clock import read_clock
from shared.runtime.durable_files import make_private_folder, sync_folder
from shared.stores.sqlite.archives import archived_names
from shared.stores.sqlite.database import open_copy
from shared.stores.sqlite.snapshot import Snapshot


def source_bytes(locations: StoreLocations) -> int:
    """Returns the approximate number of bytes to copy and to read again."""
    archived = sum(path.stat().st_size for path in locations.orders.archive.glob("*/*"))
    covers = sum(path.stat().st_size for path in _list_covers(locations))
    return archived + covers + 2 * sum(one.path.stat().st_size for one in locations.store_files if one.path.exists())


def take_backup(locations: StoreLocations, folder: Path, throttle: Throttle, step: ProgressCallback) -> Manifest:
    """Copies all files as of one instant into `folder`. Raises ClientError, StoreError and OSError.

    The remains of an interrupted backup in the folder are removed first.
    """
    sources = [one for one in locations.store_files if one.path.exists()]
    if not sources:
        raise ClientError(
            f"there is nothing to back up in {locations.data}", hint="DATA_DIR and DB_PATH say where the files are"
        )
    with _claim_folder(folder, {one.name for one in locations.store_files}):
        with closing(Snapshot([one.path for one in sources])) as snapshot:
            taken = read_clock()
            for one in sources:
                copy_database(snapshot.readers[one.path], folder / one.name, throttle, step)
                snapshot.release_file(one.path)
        copied = []
        for one in sources:
            path = folder / one.name
            with closing(open_copy(path)) as connection:
                schema = int(connection.execute("PRAGMA user_version").fetchone()[0])
            copied.append(CopiedFile(one.name, schema, path.stat().st_size, digest_file(path, throttle, step)))
        copied += _copy_archives(locations, folder, throttle, step)
        copied += _copy_covers(locations, folder, throttle, step)
        facts: Facts = gather_facts({one.name: folder / one.name for one in sources})
        manifest = Manifest(VERSION, iso_time(taken), copied, facts)
        sync_folder(folder)
        write_manifest(folder, manifest)
    return manifest


def _copy_archives(
    locations: StoreLocations, folder: Path, throttle: Throttle, step: ProgressCallback
) -> list[CopiedFile]:
    """Copies the archives that the copied progress refers to. Archives never change."""
    progress = folder / PROGRESS
    if not progress.exists():
        return []
    with closing(open_copy(progress)) as connection:
        names = archived_names(connection)
    copied = []
    for name in names:
        source = locations.orders.archive / name
        if not source.exists():
            # The archive is being created: the file is complete, but not renamed yet.
            source = source.with_name(f"{source.name}.part")
        target = folder / ARCHIVE / name
        make_private_folder(target.parent)
        digest = copy_file(source, target, throttle, step)
        copied.append(CopiedFile(f"{ARCHIVE}/{name}", 0, target.stat().st_size, digest))
        sync_folder(target.parent)
    return copied


def _copy_covers(
    locations: StoreLocations, folder: Path, throttle: Throttle, step: ProgressCallback
) -> list[CopiedFile]:
    """Copies the covers of books. They never change; one that was replaced since the copy of the records is missing."""
    copied = []
    for source in _list_covers(locations):
        name = f"{COVERS}/{source.relative_to(locations.covers)}"
        target = folder / name
        make_private_folder(target.parent)
        with suppress(FileNotFoundError):
            digest = copy_file(source, target, throttle, step)
            copied.append(CopiedFile(name, 0, target.stat().st_size, digest))
    for parent in {(folder / one.name).parent for one in copied}:
        sync_folder(parent)
    return copied


def _list_covers(locations: StoreLocations) -> list[Path]:
    found = sorted(locations.covers.glob("*/*/*"))
    return [path for path in found if is_cover_file(path.relative_to(locations.covers).as_posix())]


@contextmanager
def _claim_folder(folder: Path, names: set[str]) -> Iterator[None]:
    """Creates and locks a folder for a backup, and removes an unfinished one. Raises ClientError and OSError."""
    make_private_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClientError(f"another backup is being written to {folder}", hint="wait for its end") from None
        if (folder / MANIFEST).exists():
            raise ClientError(
                f"{folder} has a backup already", hint="name another folder, such as backups/$(date +%F-%H%M)"
            )
        leftovers = names | {f"{name}-journal" for name in names} | {f"{MANIFEST}.part", ARCHIVE, COVERS}
        if strangers := sorted({path.name for path in folder.iterdir()} - leftovers):
            raise ClientError(
                f"{folder} has other files, such as {strangers[0]}", hint="name a folder that is empty or not there"
            )
        for path in folder.iterdir():
            if path.name in (ARCHIVE, COVERS):
                shutil.rmtree(path)
            else:
                path.unlink()
        yield
    finally:
        os.close(descriptor)
