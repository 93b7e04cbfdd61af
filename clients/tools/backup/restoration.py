"""Replaces the suite's files by those of a backup.

During the restore a mark file lies beside the files, and no server starts. An interrupted restore is completed by
running it again; it continues with the phase in the mark:

    aside    former files are being moved away; no file of the backup is in place
    place    files of the backup are being copied; all of them are copied again
"""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.backup.file_copies import ProgressCallback, Throttle, copy_file
from clients.tools.backup.locations import StoreLocations, servers_stopped
from clients.tools.backup.manifest import Manifest
from shared.runtime.durable_files import make_private_folder, sync_folder, write_file
from shared.stores.sqlite.files import RESTORE_MARK

_SUFFIXES = ("", "-wal", "-shm", "-journal")


class _RestoreProgress(Struct):
    """The state of a restore."""

    phase: Literal["aside", "place"]
    aside: str
    """The name of the folder for the former files."""


def restore_backup(
    folder: Path,
    manifest: Manifest,
    locations: StoreLocations,
    throttle: Throttle,
    step: ProgressCallback,
    *,
    replace: bool,
) -> list[Path]:
    """Copies the files of a verified backup to their locations in the suite.

    Returns the folders with the former files. Raises OSError, and ClientError if a server is running or if there are
    files and `replace` is false.
    """
    for where in locations.store_folders:
        make_private_folder(where)
    with servers_stopped(locations):
        mark = _read_mark(locations)
        if mark is None:
            found = _former_files(locations)
            if found and not replace:
                raise ClientError(
                    f"there is a store already: {found[0]}",
                    hint="restore into an empty DATA_DIR; --replace moves the files that are there to a folder beside",
                )
            mark = _RestoreProgress("aside", time.strftime("before-restore-%Y%m%dT%H%M%SZ", time.gmtime()))
            _check_space(manifest, locations)
        _write_mark(locations, mark)
        if mark.phase == "aside":
            for path in _former_files(locations):
                aside = path.parent / mark.aside
                aside.mkdir(mode=0o700, exist_ok=True)
                path.replace(aside / path.name)
            for where in locations.store_folders:
                sync_folder(where)
            mark.phase = "place"
            _write_mark(locations, mark)
        _copy_backup(folder, manifest, locations, throttle, step)
        for where in locations.store_folders:
            (where / RESTORE_MARK).unlink(missing_ok=True)
            sync_folder(where)
        return [aside for where in locations.store_folders if (aside := where / mark.aside).exists()]


def _copy_backup(
    folder: Path, manifest: Manifest, locations: StoreLocations, throttle: Throttle, step: ProgressCallback
) -> None:
    for path in _former_files(locations):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for file in manifest.files:
        target = locations.find_location(file.name)
        assert target is not None, "a checked backup has no other files"
        make_private_folder(target.parent)
        if copy_file(folder / file.name, target, throttle, step) != file.sha256:
            raise ClientError(
                f"{folder / file.name} has changed while it was copied", hint="run the restore again, or another backup"
            )
        sync_folder(target.parent)


def _former_files(locations: StoreLocations) -> list[Path]:
    """Returns the existing files of the store, with those that are derived from the orders."""
    orders = locations.orders.orders
    families = [one.path for one in locations.store_files]
    families += sorted(orders.parent.glob(f"{orders.stem}-*{orders.suffix}"))
    paths = [path.with_name(path.name + suffix) for path in dict.fromkeys(families) for suffix in _SUFFIXES]
    found = [path for path in paths if path.is_file()]
    return [*found, *(path for path in (locations.orders.archive, locations.covers) if path.is_dir())]


def _read_mark(locations: StoreLocations) -> _RestoreProgress | None:
    marks = []
    for where in locations.store_folders:
        with contextlib.suppress(FileNotFoundError):
            marks.append(msgspec.json.decode((where / RESTORE_MARK).read_bytes(), type=_RestoreProgress))
    # The folders are marked one after the other, so the earlier phase applies.
    return min(marks, key=lambda mark: mark.phase, default=None)


def _write_mark(locations: StoreLocations, mark: _RestoreProgress) -> None:
    for where in locations.store_folders:
        write_file(where / RESTORE_MARK, msgspec.json.encode(mark))


def _check_space(manifest: Manifest, locations: StoreLocations) -> None:
    needed = sum(file.bytes for file in manifest.files)
    free = min(shutil.disk_usage(where).free for where in locations.store_folders)
    if free < needed:
        raise ClientError(
            f"the backup has {needed / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free", hint="free some space"
        )
