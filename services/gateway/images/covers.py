"""Stored covers: the port, and the adapter that keeps them in files.

A name is derived from a book and the content of its cover. So a name never has another content, browsers may keep it
for good, and removing the cover of one book takes nothing from another.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from services.gateway.images.scaling import Cover
from shared.domain.errors import NotFound, StoreError
from shared.domain.tenants import check_tenant_name
from shared.runtime.durable_files import PRIVATE_FOLDER, write_file

T = TypeVar("T")

SMALL_SUFFIX: Final = "-small"
_NAME = re.compile(r"[0-9a-f]{40}(-small)?\.webp", re.ASCII)
_NAME_DIGITS: Final = 40
_FOLDER_DIGITS: Final = 2


class CoverStore(Protocol):
    """Stored covers of all tenants. Every method raises StoreError if the store refuses."""

    async def save(self, tenant: str, name: str, cover: Cover) -> None:
        """Stores both sizes of a cover durably, under a name of `name_cover`."""
        ...

    async def load(self, tenant: str, name: str) -> bytes:
        """Returns one image. Raises NotFound."""
        ...

    async def remove(self, tenant: str, name: str) -> None:
        """Removes both sizes of a cover, if they are there."""
        ...


def name_cover(book: str, cover: Cover) -> str:
    """Returns the name of a book's cover."""
    return f"{hashlib.sha256(book.encode() + cover.large).hexdigest()[:_NAME_DIGITS]}.webp"


def name_small(name: str) -> str:
    """Returns the name of the small size of a cover."""
    return name.replace(".webp", f"{SMALL_SUFFIX}.webp")


class CoverFiles:
    """Covers as files below a folder: TENANT/AB/NAME, spread over 256 folders by the first digits of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, tenant: str, name: str, cover: Cover) -> None:
        large, small = self._path(tenant, name), self._path(tenant, name_small(name))

        def write() -> None:
            large.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            # The large one last: where it is, both are.
            write_file(small, cover.small)
            write_file(large, cover.large)

        await _use_files(write, "stored")

    async def load(self, tenant: str, name: str) -> bytes:
        path = self._path(tenant, name)
        try:
            return await _use_files(path.read_bytes, "read")
        except FileNotFoundError:
            raise _no_image() from None

    async def remove(self, tenant: str, name: str) -> None:
        large, small = self._path(tenant, name), self._path(tenant, name_small(name))

        def unlink() -> None:
            large.unlink(missing_ok=True)
            small.unlink(missing_ok=True)

        await _use_files(unlink, "removed")

    def _path(self, tenant: str, name: str) -> Path:
        """Returns the path of an image. Raises NotFound for a name that is none, and InvalidParams for no tenant."""
        if not _NAME.fullmatch(name):
            raise _no_image()
        return self._folder / check_tenant_name(tenant) / name[:_FOLDER_DIGITS] / name


async def _use_files(work: Callable[[], T], done: str) -> T:
    try:
        return await asyncio.to_thread(work)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"the image cannot be {done}: {error.strerror}") from error


def _no_image() -> NotFound:
    return NotFound("there is no such image")
