"""A record of the last backup, kept in the store's folder for monitoring."""

import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from shared.runtime.durable_files import write_file

_NAME = "last-backup.json"


class LastBackup(Struct, frozen=True):
    """The last backup of a store."""

    taken: str
    """The instant of its data, in UTC."""
    folder: str


def write_last_backup(data: Path, last: LastBackup) -> None:
    """Records a backup in the store's folder. Raises OSError."""
    write_file(data / _NAME, msgspec.json.encode(last) + b"\n")


def read_last_backup(data: Path) -> LastBackup | None:
    """Returns the last backup of the store in this folder; None if none is recorded."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((data / _NAME).read_bytes(), type=LastBackup)
    return None
