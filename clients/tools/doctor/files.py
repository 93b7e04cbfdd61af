"""Checks files: free space, fsync time, owners and modes, schema versions, and the last backup."""

import contextlib
import os
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from clients.tools.backup.last_backup import read_last_backup
from clients.tools.backup.locations import StoreLocations
from clients.tools.doctor.findings import Finding
from shared.domain.errors import StoreError
from shared.runtime.programs import client_command
from shared.stores.sqlite.database import connect, newest_schema, translate_errors
from shared.stores.sqlite.files import RESTORE_MARK

_MIB = 2**20
_LITTLE_ROOM = 1024 * _MIB
_SYNCS = 7
_SLOW_SYNC = 0.05
_BLOCK = b"\0" * 4096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SHOWN = 3
_BACKUP_DAYS = 2.0


def check_disk(folder: Path, reserve_mib: int) -> Finding:
    """Compares the free space with the reserve that the intake keeps."""
    free = shutil.disk_usage(folder).free
    told = f"{free / _MIB:,.0f} MiB are free in {folder}"
    cure = "free some space: docs/OPERATIONS.md says what may be deleted"
    if free < reserve_mib * _MIB:
        return Finding("error", "disk space", f"{told}, and DISK_RESERVE_MIB={reserve_mib}: no order is accepted", cure)
    if free < max(_LITTLE_ROOM, 4 * reserve_mib * _MIB):
        return Finding("warning", "disk space", told, cure)
    return Finding("ok", "disk space", told)


def check_fsync(folder: Path) -> Finding:
    """Measures the time of an fsync, which each acknowledged order waits for."""
    times: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            file.write(_BLOCK)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    told = f"{seconds * 1000:.2f} ms in {folder}"
    if seconds > _SLOW_SYNC:
        return Finding("warning", "fsync", told, "use a faster disk, or see what else writes to it (iostat -x 1)")
    return Finding("ok", "fsync", told)


def check_owners(locations: StoreLocations, user: int) -> Iterable[Finding]:
    """Finds files of the store that `user` cannot use, or that other users can."""
    paths = [path for path in _store_paths(locations) if path.exists() and not _is_shared_folder(path)]
    owners = {path: path.stat().st_uid for path in paths}
    strange = [path for path, owner in owners.items() if owner != user]
    if len(set(owners.values())) > 1 or (strange and user != 0):
        folders = " ".join(map(str, locations.store_folders))
        owner = "USER" if user == 0 else str(user)
        yield Finding(
            "error",
            "owners",
            f"not all files have one owner: {_format_paths(strange)} belong to others than user {user}",
            f"stop the suite, then: chown -R {owner} {folders}; start it as that user alone",
        )
    open_to_others = [path for path in paths if path.stat().st_mode & _OTHERS]
    if open_to_others:
        yield Finding(
            "warning",
            "modes",
            f"other users can open {_format_paths(open_to_others)}",
            f"chmod -R go= {' '.join(map(str, locations.store_folders))}",
        )
    if not strange and not open_to_others:
        yield Finding("ok", "owners", f"{len(paths)} files are their owner's alone")


def _is_shared_folder(path: Path) -> bool:
    """Whether a folder is shared by several users, such as /tmp or a volume of a container."""
    return path.is_dir() and bool(path.stat().st_mode & stat.S_ISVTX)


def check_schemas(locations: StoreLocations) -> Iterable[Finding]:
    """Compares the schema of each file with the newest one that this program knows."""
    for folder in locations.store_folders:
        if (folder / RESTORE_MARK).exists():
            yield Finding(
                "error",
                "restore",
                f"a restore into {folder} was interrupted: no server starts",
                f"run the restore again, which completes it: {client_command()} restore DIR",
            )
    versions: list[str] = []
    for one in locations.store_files:
        if not one.path.exists():
            continue
        newest = newest_schema(one.schema)
        try:
            version = _read_schema(one.path)
        except StoreError as error:
            cure = "restore a backup: docs/OPERATIONS.md; keep the damaged file"
            yield Finding("error", "schema", f"{one.path} cannot be read: {error.message}", cure)
            continue
        told = f"{one.path} has schema {version}, and this program knows up to {newest}"
        if version > newest:
            yield Finding("error", "schema", told, "run the newer program that made it")
        elif version < newest:
            yield Finding(
                "warning", "schema", told, "the next start of its server brings it to the newest: back up first"
            )
        else:
            versions.append(f"{one.name} {version}")
    if versions:
        yield Finding("ok", "schema", ", ".join(versions))


def check_backup_age(data: Path, now: float | None = None) -> Finding:
    """Compares the time of the last backup with the clock."""
    cure = f"{client_command()} backup DIR, every night: docs/OPERATIONS.md"
    last = read_last_backup(data)
    if last is None:
        return Finding("warning", "backup", "none was taken yet", cure)
    moment = datetime.fromisoformat(last.taken).astimezone(UTC)
    days = ((time.time() if now is None else now) - moment.timestamp()) / 86_400
    told = f"the last one is {_format_age(days)} old, in {last.folder}"
    return Finding("warning", "backup", told, cure) if days > _BACKUP_DAYS else Finding("ok", "backup", told)


def find_newest_order(locations: StoreLocations) -> int | None:
    """Returns the time of receipt of the newest order, in microseconds since the epoch; None without orders."""
    path = locations.orders.orders
    if path.exists():
        with (
            contextlib.suppress(StoreError),
            translate_errors(path),
            contextlib.closing(connect(path, read_only=True)) as file,
        ):
            row = file.execute("SELECT received FROM orders ORDER BY sequence DESC LIMIT 1").fetchone()
            return None if row is None else int(row[0])
    return None


def _read_schema(path: Path) -> int:
    with translate_errors(path), contextlib.closing(connect(path, read_only=True)) as file:
        return int(file.execute("PRAGMA user_version").fetchone()[0])


def _store_paths(locations: StoreLocations) -> Iterable[Path]:
    yield from locations.store_folders
    for one in locations.store_files:
        for ending in ("", "-wal", "-shm", ".lock"):
            yield one.path.with_name(one.path.name + ending)
    yield from locations.lock_files


def _format_paths(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more


def _format_age(days: float) -> str:
    return f"{days * 24:.0f} hours" if days < 2 else f"{days:.1f} days"
