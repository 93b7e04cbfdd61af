"""The folder of a tenant: its index, a pointer to it, and an index that is being built.

    ROOT/TENANT/current        names the folder of the index that answers
    ROOT/TENANT/index-1-4/     version 1 of the schema, the fourth index that was built
    ROOT/TENANT/building       is locked by the process that builds an index

A pointer is replaced atomically, so a reader finds the old index or the new one. An index of another version of the
schema counts as missing.
"""

import contextlib
import re
import shutil
from pathlib import Path

from shared.domain.errors import IndexBehind, IndexMissing
from shared.domain.tenants import check_tenant_name
from shared.runtime.durable_files import PRIVATE_FOLDER, make_private_folder, write_file
from shared.runtime.file_lock import FileLock
from shared.search.fields import SCHEMA_VERSION

_POINTER = "current"
_DAMAGED = "damaged"
_BUILDING = "building"
_NAME = re.compile(r"index-([0-9]{1,9})-([0-9]{1,9})")

FileState = tuple[int, int, int]
"""Changes when a file is replaced: time of change in nanoseconds, inode, and size."""


def read_state(path: Path) -> FileState | None:
    """Returns the state of a file, or None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class TenantFolder:
    """The files of one tenant. Raises InvalidParams for what is not the name of a tenant."""

    def __init__(self, root: Path, tenant: str) -> None:
        self.path = root / check_tenant_name(tenant)
        self.tenant = tenant
        self.pointer = self.path / _POINTER

    def find_index(self) -> Path:
        """Returns the folder of the index that answers. Raises IndexMissing if there is no usable one."""
        try:
            name = self.pointer.read_text()
        except (OSError, UnicodeDecodeError):
            raise self.missing("has not been built") from None
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) != SCHEMA_VERSION:
            raise self.missing("is of another version")
        if not (self.path / name).is_dir():
            raise self.missing("has been deleted")
        if (self.path / name / _DAMAGED).exists():
            raise self.missing("is damaged")
        return self.path / name

    def missing(self, reason: str) -> IndexMissing:
        """Returns the error for an index that cannot be used."""
        return IndexMissing(
            f"the search index of {self.tenant} {reason}", hint="it is built by itself; try again in some minutes"
        )

    def behind(self, reason: str) -> IndexBehind:
        """Returns the error for changes that cannot be stored."""
        return IndexBehind(
            f"the search index of {self.tenant} {reason}", hint="check the free space of its disk; changes are kept"
        )

    def lock_build(self) -> FileLock:
        """Returns a lock that keeps other processes from building an index of the tenant; it ends with this process.

        Without it a process would delete what another one builds, since it takes that for the rest of a killed build.
        Raises IndexMissing if another process builds one now, StoreError, and OSError.
        """
        make_private_folder(self.path)
        lock = FileLock(self.path / _BUILDING)
        if not lock.try_acquire():
            lock.close()
            raise self.missing("is being built by another process")
        return lock

    def make_next(self) -> Path:
        """Makes the folder of a new index, and deletes those that were never completed. The caller holds the lock."""
        named = self._read_pointer()
        self._delete_indexes_except(named)
        # The pointer may name a folder that was deleted. A new one of that name would answer before it is complete.
        names = [named or "", *(path.name for path in self.path.iterdir())]
        numbers = [int(match[2]) for name in names if (match := _NAME.fullmatch(name))]
        made = self.path / f"index-{SCHEMA_VERSION}-{max(numbers, default=0) + 1}"
        made.mkdir(PRIVATE_FOLDER)
        return made

    def activate(self, index: Path) -> None:
        """Makes an index the one that answers, durably, and deletes the others. Raises OSError."""
        write_file(self.pointer, index.name.encode())
        self._delete_indexes_except(index.name)

    def mark_damaged(self, pointer: FileState | None) -> None:
        """Marks the index as damaged for all processes, so that it is built again.

        Does nothing if another index has taken its place: `pointer` is the state of the pointer to the damaged one.
        A new time of the pointer makes readers and writers that have the index open look at it again.
        """
        with contextlib.suppress(OSError, IndexMissing):
            if read_state(self.pointer) == pointer:
                (self.find_index() / _DAMAGED).touch()
                self.pointer.touch()

    def delete(self) -> None:
        """Deletes all files; the pointer is the first."""
        self.pointer.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def _read_pointer(self) -> str | None:
        try:
            return self.pointer.read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def _delete_indexes_except(self, kept: str | None) -> None:
        for path in self.path.iterdir():
            if path.name != kept and _NAME.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
