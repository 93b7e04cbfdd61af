"""Atomic and durable writes of files: after a crash a file is complete or absent."""

import os
from pathlib import Path

PRIVATE = 0o600
"""Mode of files that only their owner may read."""
PRIVATE_FOLDER = 0o700
"""Mode of folders that only their owner may read."""


def make_private_folder(folder: Path) -> None:
    """Creates a folder, and those above it that are missing, readable by their owner only.

    Folders that exist keep their mode. Raises OSError.
    """
    try:
        folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
    except FileNotFoundError:
        # mkdir(parents=True) would let everybody read those above.
        make_private_folder(folder.parent)
        folder.mkdir(PRIVATE_FOLDER, exist_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Replaces the file `path` atomically. Raises OSError; `path` is then unchanged."""
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
    """Waits until the entries of a folder are on disk. Raises OSError."""
    _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
