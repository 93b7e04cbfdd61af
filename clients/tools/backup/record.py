"""Where the last backup of a store is noted: in the folder of the store, for those who look after it."""

import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from shared.stores.durable_files import write_file

_NAME = "last-backup.json"


class LastBackup(Struct, frozen=True):
    """The last backup that was taken."""

    taken: str
    """The instant that it is of, in UTC."""
    folder: str


def note_backup(data: Path, last: LastBackup) -> None:
    """Notes a backup in the store's folder. Raises OSError."""
    write_file(data / _NAME, msgspec.json.encode(last) + b"\n")


def read_last_backup(data: Path) -> LastBackup | None:
    """Returns the last backup of the store in this folder; None where none was noted."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((data / _NAME).read_bytes(), type=LastBackup)
    return None
