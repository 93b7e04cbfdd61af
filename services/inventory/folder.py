"""A folder whose files are imported: what is dropped there comes in, and is filed away with what has become of it.

A file is taken when it has stayed the same from one look to the next, and filed away after its import is committed. Who
is killed in between finds it again and sees by its digest that it is in already.
"""

import asyncio
import os
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import structlog

from clients.errors import Refused
from clients.persistence import PersistenceClient
from services.inventory.incoming import PART_BYTES, Arrival, take_in
from shared.domain.errors import ComandaError, RequestError
from shared.stores.durable import PRIVATE_FOLDER, write_file

_LOOK_SECONDS = 2.0
_RETRY_SECONDS = 2.0
_PUT_OFF_SECONDS = 30.0
_CLEAR_SECONDS = 3600.0
_ENDINGS = (".csv", ".tsv", ".txt")
_DONE = "done"
_REJECTED = "rejected"
_REPORT = ".report.json"
_NAME_BYTES = 255
"""As long as file systems let a name be."""


class _Print(NamedTuple):
    """What changes when a file does."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class _PutOff(NamedTuple):
    """A file that is left alone until a time of the monotonic clock, unless it changes."""

    print: _Print
    until: float


class _Changed(Exception):
    """A file is not any more what it was a look ago."""


class Folder:
    """Imports the files of a folder: *.csv, *.tsv and *.txt, but none that is hidden, and no link.

    What is in goes to `done` below it, what is refused to `rejected`, with a report beside it. With `keep_days` files
    that were filed away longer ago are deleted.
    """

    def __init__(self, records: PersistenceClient, folder: Path, *, max_bytes: int, keep_days: float = 0.0) -> None:
        self._records = records
        self._folder = folder
        self._max_bytes = max_bytes
        self._keep_seconds = keep_days * 86_400
        self._cleared = -_CLEAR_SECONDS
        self._seen: dict[str, _Print] = {}
        """The files of the last look."""
        self._put_off: dict[str, _PutOff] = {}
        self._settled: dict[str, tuple[_Print, Arrival]] = {}
        """Files that only have to be filed away."""
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Looks for files until cancelled; the folder is made when it is missing."""
        trouble = False
        while True:
            pause = _LOOK_SECONDS
            try:
                await self.step()
                trouble = False
            except (ComandaError, OSError) as error:
                if not trouble:
                    self._log.warning(
                        "files have to wait; trying again", folder=str(self._folder), reason=_reason(error)
                    )
                trouble = True
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)

    async def step(self) -> None:
        """Looks once, and imports what has not changed since the last look, the oldest first.

        Raises OSError where the folder cannot be read, and what `records` does where it cannot be asked.
        """
        if self._keep_seconds and time.monotonic() - self._cleared >= _CLEAR_SECONDS:
            self._cleared = time.monotonic()
            removed = await asyncio.to_thread(_remove_old, self._folder, time.time() - self._keep_seconds)
            self._log.info("uploads_removed", files=removed)
        found = await asyncio.to_thread(_look, self._folder)
        complete = [name for name, look in found.items() if self._seen.get(name) == look]
        self._seen = found
        for names in (self._put_off, self._settled):
            for name in names.keys() - found.keys():
                del names[name]
        for name in sorted(complete, key=lambda name: (found[name].modified_ns, name)):
            if not self._is_put_off(name, found[name]):
                await self._deal(name, found[name])

    def _is_put_off(self, name: str, look: _Print) -> bool:
        entry = self._put_off.get(name)
        return entry is not None and entry.print == look and time.monotonic() < entry.until

    async def _deal(self, name: str, look: _Print) -> None:
        """Imports one file and files it away. Raises what `records` does where it cannot be asked."""
        try:
            settled = self._settled.get(name)
            if settled is None or settled[0] != look:
                settled = (look, await self._take_in(name, look))
                self._settled[name] = settled
            await asyncio.to_thread(_file_away, self._folder, name, look, settled[1])
        except (FileNotFoundError, _Changed):
            # Somebody has taken or replaced it; the next look tells.
            return
        except (OSError, Refused, RequestError) as error:
            before = self._put_off.get(name)
            if before is None or before.print != look:
                self._log.warning("a file has to wait; trying again", name=_shown(name), reason=_reason(error))
            self._put_off[name] = _PutOff(look, time.monotonic() + _PUT_OFF_SECONDS)
            return
        self._put_off.pop(name, None)
        self._settled.pop(name, None)

    async def _take_in(self, name: str, look: _Print) -> Arrival:
        shown = _shown(name)
        arrival = await take_in(
            self._records, _parts(self._folder / name, look), name=shown, source="folder", max_bytes=self._max_bytes
        )
        if arrival.problem is not None:
            self._log.warning("a file was refused", name=shown, reason=arrival.problem["message"])
        elif arrival.known:
            self._log.info("a file was in already", name=shown, id=arrival.id)
        else:
            self._log.info("a file has come in", name=shown, id=arrival.id)
        return arrival


def _look(folder: Path) -> dict[str, _Print]:
    """The files that there are to import. Makes the folder. Raises OSError."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    found: dict[str, _Print] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.lower().endswith(_ENDINGS):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                found[entry.name] = _print(status)
    return found


def _print(status: os.stat_result) -> _Print:
    return _Print(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


async def _parts(path: Path, look: _Print) -> AsyncGenerator[bytes, None]:
    """What is in a file. Raises _Changed when it is another than was seen, and OSError."""
    file = await asyncio.to_thread(_open, path)
    try:
        _check(os.fstat(file.fileno()), look)
        while part := await asyncio.to_thread(file.read, PART_BYTES):
            yield part
        _check(os.fstat(file.fileno()), look)
    finally:
        file.close()


def _open(path: Path) -> BinaryIO:
    # Not even for a moment is a link followed, or a named pipe waited for, that has taken the file's place.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _check(status: os.stat_result, look: _Print) -> None:
    if _print(status) != look:
        raise _Changed


def _file_away(folder: Path, name: str, look: _Print, arrival: Arrival) -> None:
    """Moves a file to where it belongs. Raises _Changed when another has come in its place, and OSError."""
    target = folder / (_DONE if arrival.problem is None else _REJECTED)
    target.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    filed = target / _filed_name(name, arrival.id)
    if arrival.problem is not None:
        report = msgspec.json.format(msgspec.json.encode({"file": _shown(name), **arrival.problem}))
        write_file(filed.with_name(filed.name + _REPORT), report + b"\n")
    _check(os.lstat(folder / name), look)
    os.rename(folder / name, filed)


def _remove_old(folder: Path, before: float) -> int:
    """Deletes what was filed away before a time, in seconds since the epoch; returns how many. Raises OSError."""
    removed = 0
    for name in (_DONE, _REJECTED):
        if not (folder / name).is_dir():
            continue
        with os.scandir(folder / name) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                # Filing a file away changes its ctime alone.
                if stat.S_ISREG(status.st_mode) and max(status.st_ctime, status.st_mtime) < before:
                    os.unlink(entry.path)
                    removed += 1
    return removed


def _filed_name(name: str, arrival: str) -> str:
    """The name of a file with its import's in it, so that it takes no other file's place."""
    stem, ending = os.path.splitext(name)
    tail = f".{arrival}{ending}"
    room = _NAME_BYTES - len(os.fsencode(tail)) - len(_REPORT)
    return os.fsdecode(os.fsencode(stem)[:room]) + tail


def _shown(name: str) -> str:
    """A file's name as text, whatever its bytes are."""
    return os.fsencode(name).decode(errors="replace")


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, ComandaError) else str(error)
