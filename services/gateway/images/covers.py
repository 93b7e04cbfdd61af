"""Stored covers: the port, and the adapter that keeps them in files."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import structlog

from services.gateway.images.scaling import Cover
from shared.domain.covers import COVER_DIGITS, cover_file, is_cover_name, small_cover
from shared.domain.errors import ErrorReason, NotFound, StoreError
from shared.domain.tenants import check_tenant_name
from shared.runtime.durable_files import make_private_folder, write_file

T = TypeVar("T")

_BOOK_DIGITS: Final = 16


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
    """Returns the name of a book's cover: digits of the book, then digits of the image."""
    return f"{_book_digits(book)}{hashlib.sha256(cover.large).hexdigest()[: COVER_DIGITS - _BOOK_DIGITS]}.webp"


async def remove_unused(store: CoverStore, tenant: str, book: str, name: str) -> None:
    """Removes a cover that a book refers to no more; leaves that of another book, whose address was copied."""
    if not (is_cover_name(name) and name.startswith(_book_digits(book))):
        return
    try:
        await store.remove(tenant, name)
    except StoreError as error:
        # It only takes room.
        structlog.get_logger().warning("cover_not_removed", tenant=tenant, name=name, reason=error.message)


def _book_digits(book: str) -> str:
    return hashlib.sha256(book.encode()).hexdigest()[:_BOOK_DIGITS]


class CoverFiles:
    """Covers as files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, tenant: str, name: str, cover: Cover) -> None:
        large, small = self._path(tenant, name), self._path(tenant, small_cover(name))

        def write() -> None:
            make_private_folder(large.parent)
            # The large one last: where it is, both are.
            write_file(small, cover.small)
            write_file(large, cover.large)

        await _use_files(write, "stored")

    async def load(self, tenant: str, name: str) -> bytes:
        path = self._path(tenant, name)
        try:
            return await _use_files(path.read_bytes, "read")
        except FileNotFoundError:
            raise no_image() from None

    async def remove(self, tenant: str, name: str) -> None:
        large, small = self._path(tenant, name), self._path(tenant, small_cover(name))

        def unlink() -> None:
            large.unlink(missing_ok=True)
            small.unlink(missing_ok=True)

        await _use_files(unlink, "removed")

    def _path(self, tenant: str, name: str) -> Path:
        """Returns the path of an image. Raises NotFound for a name that is none, and InvalidParams for no tenant."""
        if not is_cover_name(name):
            raise no_image()
        return self._folder / cover_file(check_tenant_name(tenant), name)


async def _use_files(work: Callable[[], T], done: str) -> T:
    try:
        return await asyncio.to_thread(work)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"the image cannot be {done}: {error.strerror}") from error


def no_image() -> NotFound:
    """Returns the error for an image that is not stored."""
    return NotFound("there is no such image", reason=ErrorReason("image_unknown"))
