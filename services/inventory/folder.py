"""Imports the files of a folder, and moves them to a subfolder by their outcome.

A file is imported once it is unchanged between two scans, and moved after its import is committed. After a crash in
between, the file's digest shows that it is imported already.
"""

import asyncio
import os
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import structlog

from clients.errors import Refused
from clients.persistence import PersistenceClient
from services.inventory.file_import import CHUNK_BYTES, FileOutcome, import_stock_file
from shared.domain.errors import ComandaError, RequestError
from shared.runtime.durable_files import PRIVATE_FOLDER, make_private_folder, write_file

_CLEAN_SECONDS = 3600.0
_ENDINGS = (".csv", ".tsv", ".txt")
_DONE = "done"
_REJECTED = "rejected"
_REPORT = ".report.json"
_NAME_BYTES = 255
"""The maximum length of a file name."""


class _Fingerprint(NamedTuple):
    """Metadata that changes with a file."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class _Postponed(NamedTuple):
    """A file that is skipped until a time of the monotonic clock, unless it changes."""

    fingerprint: _Fingerprint
    until: float


class _FileChanged(Exception):
    """A file has changed since the last scan."""


class FolderImporter:
    """Imports the files *.csv, *.tsv and *.txt of a folder, except hidden files and links.

    Imported files move to its subfolder `done`, rejected ones to `rejected` with a report beside them. With
    `keep_days`, files in these subfolders are deleted after that time. A file that cannot be read or moved is tried
    again after `postpone_seconds`.
    """

    def __init__(
        self,
        records: PersistenceClient,
        folder: Path,
        *,
        max_bytes: int,
        keep_days: float = 0.0,
        scan_seconds: float = 2.0,
        postpone_seconds: float = 30.0,
    ) -> None:
        self._records = records
        self._folder = folder
        self._max_bytes = max_bytes
        self._keep_seconds = keep_days * 86_400
        self._scan_seconds = scan_seconds
        self._postpone_seconds = postpone_seconds
        self._cleaned_at = -_CLEAN_SECONDS
        self._seen: dict[str, _Fingerprint] = {}
        """The files of the last scan."""
        self._postponed: dict[str, _Postponed] = {}
        self._imported: dict[str, tuple[_Fingerprint, FileOutcome]] = {}
        """Files that are imported and not moved yet."""
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Scans the folder until cancelled. Creates it if it is missing."""
        failing = False
        while True:
            try:
                await self.scan_folder()
                failing = False
            except (ComandaError, OSError) as error:
                if not failing:
                    self._log.warning("folder_scan_failed", folder=str(self._folder), reason=_error_text(error))
                failing = True
            await asyncio.sleep(self._scan_seconds)

    async def scan_folder(self) -> None:
        """Scans the folder once, and imports the files that are unchanged since the last scan, oldest first.

        Raises OSError if the folder cannot be read, and ClientError if the persistence server cannot be reached.
        """
        if self._keep_seconds and time.monotonic() - self._cleaned_at >= _CLEAN_SECONDS:
            self._cleaned_at = time.monotonic()
            removed = await asyncio.to_thread(_remove_old, self._folder, time.time() - self._keep_seconds)
            self._log.info("uploads_removed", files=removed)
        found = await asyncio.to_thread(_list_files, self._folder)
        complete = [name for name, fingerprint in found.items() if self._seen.get(name) == fingerprint]
        self._seen = found
        for names in (self._postponed, self._imported):
            for name in names.keys() - found.keys():
                del names[name]
        for name in sorted(complete, key=lambda name: (found[name].modified_ns, name)):
            if not self._is_postponed(name, found[name]):
                await self._import_file(name, found[name])

    def _is_postponed(self, name: str, fingerprint: _Fingerprint) -> bool:
        entry = self._postponed.get(name)
        return entry is not None and entry.fingerprint == fingerprint and time.monotonic() < entry.until

    async def _import_file(self, name: str, fingerprint: _Fingerprint) -> None:
        """Imports and moves one file. Raises ClientError if the persistence server cannot be reached."""
        try:
            imported = self._imported.get(name)
            if imported is None or imported[0] != fingerprint:
                imported = (fingerprint, await self._upload_file(name, fingerprint))
                self._imported[name] = imported
            await asyncio.to_thread(_move_file, self._folder, name, fingerprint, imported[1])
        except (FileNotFoundError, _FileChanged):
            # The file was removed or replaced; the next scan decides.
            return
        except (OSError, Refused, RequestError) as error:
            before = self._postponed.get(name)
            if before is None or before.fingerprint != fingerprint:
                self._log.warning("file_postponed", name=_display_name(name), reason=_error_text(error))
            self._postponed[name] = _Postponed(fingerprint, time.monotonic() + self._postpone_seconds)
            return
        self._postponed.pop(name, None)
        self._imported.pop(name, None)

    async def _upload_file(self, name: str, fingerprint: _Fingerprint) -> FileOutcome:
        display_name = _display_name(name)
        outcome = await import_stock_file(
            self._records,
            _read_file(self._folder / name, fingerprint),
            name=display_name,
            source="folder",
            max_bytes=self._max_bytes,
        )
        if outcome.problem is not None:
            self._log.warning("file_rejected", name=display_name, reason=outcome.problem["message"])
        elif outcome.known:
            self._log.info("file_already_imported", name=display_name, id=outcome.id)
        else:
            self._log.info("file_accepted", name=display_name, id=outcome.id)
        return outcome


def _list_files(folder: Path) -> dict[str, _Fingerprint]:
    """Returns the files to import by name. Creates the folder. Raises OSError."""
    make_private_folder(folder)
    found: dict[str, _Fingerprint] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.lower().endswith(_ENDINGS):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                found[entry.name] = _file_fingerprint(status)
    return found


def _file_fingerprint(status: os.stat_result) -> _Fingerprint:
    return _Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


async def _read_file(path: Path, fingerprint: _Fingerprint) -> AsyncGenerator[bytes, None]:
    """Yields the content of a file. Raises OSError, and _FileChanged if the file differs from the scanned one."""
    file = await asyncio.to_thread(_open_file, path)
    try:
        _check_unchanged(os.fstat(file.fileno()), fingerprint)
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
        _check_unchanged(os.fstat(file.fileno()), fingerprint)
    finally:
        file.close()


def _open_file(path: Path) -> BinaryIO:
    # A link or named pipe that has replaced the file is neither followed nor waited for.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _check_unchanged(status: os.stat_result, fingerprint: _Fingerprint) -> None:
    if _file_fingerprint(status) != fingerprint:
        raise _FileChanged


def _move_file(folder: Path, name: str, fingerprint: _Fingerprint, outcome: FileOutcome) -> None:
    """Moves a file to `done` or `rejected`. Raises OSError, and _FileChanged if the file was replaced."""
    target = folder / (_DONE if outcome.problem is None else _REJECTED)
    target.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    target_path = target / _target_name(name, outcome.id)
    if outcome.problem is not None:
        report = msgspec.json.format(msgspec.json.encode({"file": _display_name(name), **outcome.problem}))
        write_file(target_path.with_name(target_path.name + _REPORT), report + b"\n")
    _check_unchanged(os.lstat(folder / name), fingerprint)
    os.rename(folder / name, target_path)


def _remove_old(folder: Path, before: float) -> int:
    """Deletes moved files from before a time in seconds since the epoch. Returns their number. Raises OSError."""
    removed = 0
    for name in (_DONE, _REJECTED):
        if not (folder / name).is_dir():
            continue
        with os.scandir(folder / name) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                # Moving a file changes only its ctime.
                if stat.S_ISREG(status.st_mode) and max(status.st_ctime, status.st_mtime) < before:
                    os.unlink(entry.path)
                    removed += 1
    return removed


def _target_name(name: str, outcome: str) -> str:
    """Returns the file's name with the id of its import, so that names are unique in the target folder."""
    stem, ending = os.path.splitext(name)
    tail = f".{outcome}{ending}"
    room = _NAME_BYTES - len(os.fsencode(tail)) - len(_REPORT)
    return os.fsdecode(os.fsencode(stem)[:room]) + tail


def _display_name(name: str) -> str:
    """Returns a file name as text, also if its bytes are not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _error_text(error: Exception) -> str:
    return error.message if isinstance(error, ComandaError) else str(error)
