"""The storage of the lake's files: a port, and its adapter for a folder on disk."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from shared.domain.errors import StoreError
from shared.runtime.durable_files import make_private_folder, sync_folder, write_file

T = TypeVar("T")


class LakeStorage(Protocol):
    """Files by their path relative to the root of the lake. All methods raise StoreError."""

    async def write(self, path: str, data: bytes) -> None:
        """Replaces a file as a whole. It is durable when this returns."""

    async def read(self, path: str) -> bytes | None:
        """Returns the content of a file; None if there is none."""

    async def list_files(self, folder: str) -> list[str]:
        """Returns the paths of all files below a folder, which ends with a slash, in their order."""

    async def remove(self, path: str) -> None:
        """Removes a file, if it is there."""


class FolderStorage:
    """Files in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, path: str, data: bytes) -> None:
        """See `LakeStorage`: fsync, rename, and fsync of the folder."""
        await self._call(path, lambda: _write(self._root, path, data))

    async def read(self, path: str) -> bytes | None:
        """See `LakeStorage`."""

        def read() -> bytes | None:
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError:
                return None

        return await self._call(path, read)

    async def list_files(self, folder: str) -> list[str]:
        """See `LakeStorage`. Files that were not completed are left out."""

        def find() -> list[str]:
            found = (
                Path(parent, name).relative_to(self._root).as_posix()
                for parent, _, names in os.walk(self._root / folder)
                for name in names
                if not name.endswith(".part")
            )
            return sorted(found)

        return await self._call(folder, find)

    async def remove(self, path: str) -> None:
        """See `LakeStorage`."""
        await self._call(path, lambda: (self._root / path).unlink(missing_ok=True))

    async def _call(self, path: str, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, function)
        except OSError as error:
            raise StoreError(f"the lake's file {path} cannot be used: {error.strerror or error}") from error


def _write(root: Path, path: str, data: bytes) -> None:
    target = root / path
    folder = target.parent
    if not folder.exists():
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        make_private_folder(folder)
        for created in missing:
            sync_folder(created.parent)
    write_file(target, data)
