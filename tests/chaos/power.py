"""A file system that forgets: what is written stays in memory until it is synced.

`python -m tests.chaos.power BACKING MOUNT` mounts BACKING at MOUNT through FUSE. When its standard input ends it
is gone, and with it what was not synced, as when a machine loses its power. Given a number there, it first keeps
a random half of the pages that were not synced, since a disk may have written any of them, in any order. Names,
sizes that shrink and removals are kept at once, which a journaling file system may do before the data.
"""

import errno
import os
import random
import sys
import threading
from typing import Any, NoReturn

import mfusepy

_PAGE = 4096


class _File:
    """One file: its bytes as programs see them, and which pages the backing file has not got yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as backing:
            self.data = bytearray(backing.read())
        self.dirty: set[int] = set()

    def write(self, data: bytes, offset: int) -> None:
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data
        self.dirty.update(range(offset // _PAGE, (offset + len(data) - 1) // _PAGE + 1))

    def truncate(self, length: int) -> None:
        if length < len(self.data):
            del self.data[length:]
            with open(self.path, "r+b") as backing:
                backing.truncate(min(length, os.path.getsize(self.path)))
        else:
            self.data.extend(bytes(length - len(self.data)))

    def keep(self, pages: set[int]) -> None:
        """Writes pages to the backing file."""
        with open(self.path, "r+b") as backing:
            for page in sorted(pages):
                backing.seek(page * _PAGE)
                backing.write(self.data[page * _PAGE : (page + 1) * _PAGE])
        self.dirty -= pages


class ForgetfulFiles(mfusepy.Operations):  # type: ignore[misc]
    """The operations that SQLite and its locks need; the kernel keeps locks by itself."""

    use_ns = True

    def __init__(self, backing: str) -> None:
        self._backing = backing
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()

    def _path(self, path: str) -> str:
        return self._backing + path

    def _file(self, path: str) -> _File:
        with self._lock:
            if path not in self._files:
                self._files[path] = _File(self._path(path))
            return self._files[path]

    def init_with_config(self, *_: Any) -> None:
        """Tells the parent that programs may come."""
        sys.stdout.write("mounted\n")
        sys.stdout.flush()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        try:
            found = os.lstat(self._path(path))
        except FileNotFoundError:
            raise mfusepy.FuseOSError(errno.ENOENT) from None
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime_ns", "st_mtime_ns", "st_ctime_ns")
        entry = {name.removesuffix("_ns"): getattr(found, name) for name in names}
        if path in self._files:
            entry["st_size"] = len(self._files[path].data)
        return entry

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._path(path))]

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._path(path), mode)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        os.close(os.open(self._path(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode))
        self._files.pop(path, None)
        return 0

    def open(self, path: str, flags: int) -> int:
        self._file(path)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._file(path).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._file(path).write(data, offset)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._file(path).truncate(length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        file = self._file(path)
        file.keep(set(file.dirty))
        return 0

    def unlink(self, path: str) -> int:
        self._files.pop(path, None)
        os.unlink(self._path(path))
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 2**22, "f_bfree": 2**21, "f_bavail": 2**21}

    def wait_for_the_cut(self) -> NoReturn:
        """Ends the process as standard input says."""
        if seed := sys.stdin.readline():
            dice = random.Random(int(seed))
            for file in self._files.values():
                if os.path.exists(file.path):
                    file.keep({page for page in file.dirty if dice.random() < 0.5})
        os._exit(0)


def main(backing: str, mount: str) -> None:
    """Serves until the file system is taken away, or its power is."""
    files = ForgetfulFiles(backing)
    threading.Thread(target=files.wait_for_the_cut, daemon=True).start()
    mfusepy.FUSE(files, mount, foreground=True, nothreads=True, fsname="forgetful", allow_other=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
