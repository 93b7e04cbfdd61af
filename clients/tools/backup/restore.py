"""Puts a backup in the place of the suite's files.

From the first step to the last a mark lies beside the files, and no server starts where it lies. A restore that was
interrupted is completed by running it again; it goes on by the phase that the mark names:

    aside    the files that were there are moved away; none of the backup is in place yet
    place    whatever is in place is of the backup, or a part of it, and is written again
"""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.backup.copying import Step, Throttle, copy_file
from clients.tools.backup.manifest import Manifest
from clients.tools.backup.places import Places, servers_stopped
from shared.stores.durable_files import sync_folder, write_file
from shared.stores.sqlite.files import RESTORE_MARK

_SUFFIXES = ("", "-wal", "-shm", "-journal")


class _Mark(Struct):
    """How far a restore has come."""

    phase: Literal["aside", "place"]
    aside: str
    """The name of the folder into which the former files go."""


def restore_backup(
    folder: Path, manifest: Manifest, places: Places, throttle: Throttle, step: Step, *, replace: bool
) -> list[Path]:
    """Copies the files of a checked backup to where the suite has them.

    Returns the folders with the files that were there before. Raises ClientError where a server is running, or where
    there are files already and they are not to be replaced; and OSError.
    """
    for where in places.folders:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
    with servers_stopped(places):
        mark = _read_mark(places)
        if mark is None:
            found = _former_files(places)
            if found and not replace:
                raise ClientError(
                    f"there is a store already: {found[0]}",
                    hint="restore into an empty DATA_DIR; --replace moves the files that are there to a folder beside",
                )
            mark = _Mark("aside", time.strftime("before-restore-%Y%m%dT%H%M%SZ", time.gmtime()))
            _check_space(manifest, places)
        _write_mark(places, mark)
        if mark.phase == "aside":
            for path in _former_files(places):
                aside = path.parent / mark.aside
                aside.mkdir(mode=0o700, exist_ok=True)
                path.replace(aside / path.name)
            for where in places.folders:
                sync_folder(where)
            mark.phase = "place"
            _write_mark(places, mark)
        _place(folder, manifest, places, throttle, step)
        for where in places.folders:
            (where / RESTORE_MARK).unlink(missing_ok=True)
            sync_folder(where)
        return [aside for where in places.folders if (aside := where / mark.aside).exists()]


def _place(folder: Path, manifest: Manifest, places: Places, throttle: Throttle, step: Step) -> None:
    for path in _former_files(places):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for file in manifest.files:
        target = places.place_of(file.name)
        assert target is not None, "a checked backup has no other files"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if copy_file(folder / file.name, target, throttle, step) != file.sha256:
            raise ClientError(
                f"{folder / file.name} has changed while it was copied", hint="run the restore again, or another backup"
            )
        sync_folder(target.parent)


def _former_files(places: Places) -> list[Path]:
    """The files of the store that are there, with whatever was derived from the orders."""
    orders = places.orders.orders
    families = [one.path for one in places.store_files]
    families += sorted(orders.parent.glob(f"{orders.stem}-*{orders.suffix}"))
    paths = [path.with_name(path.name + suffix) for path in dict.fromkeys(families) for suffix in _SUFFIXES]
    found = [path for path in paths if path.is_file()]
    return [*found, places.orders.archive] if places.orders.archive.is_dir() else found


def _read_mark(places: Places) -> _Mark | None:
    marks = []
    for where in places.folders:
        with contextlib.suppress(FileNotFoundError):
            marks.append(msgspec.json.decode((where / RESTORE_MARK).read_bytes(), type=_Mark))
    # The folders are marked one after the other: the phase is the earlier one.
    return min(marks, key=lambda mark: mark.phase, default=None)


def _write_mark(places: Places, mark: _Mark) -> None:
    for where in places.folders:
        write_file(where / RESTORE_MARK, msgspec.json.encode(mark))


def _check_space(manifest: Manifest, places: Places) -> None:
    needed = sum(file.bytes for file in manifest.files)
    free = min(shutil.disk_usage(where).free for where in places.folders)
    if free < needed:
        raise ClientError(
            f"the backup has {needed / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free", hint="free some space"
        )
