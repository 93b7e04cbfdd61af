"""Files that are complete on disk or not there at all, whenever the machine stops."""

import os
from pathlib import Path

PRIVATE = 0o600
"""The mode of files that only their owner may read."""
PRIVATE_FOLDER = 0o700
"""The mode of folders that only their owner may look into."""


def write_file(path: Path, data: bytes) -> None:
    """Writes a whole file in the place of `path`. Raises OSError; `path` is then what it was before."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Waits until the content of a file is on disk. Raises OSError."""
    _sync_path(path)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk. Raises OSError."""
    _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
