"""The audit log of users: who changed what, who signed in, and who was refused, as lines of JSON in files.

A server has two kinds of entries, each in files of its own: `changes`, and `access` (sign-ins, refusals, roles, keys),
so that many changes do not displace the few entries about access. A thread writes them within a fraction of a second.
The audit log of corporate data (`services/persistence/audit.py`) is stricter: its entries are in the commit of the
change itself.
"""

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from shared.domain.orders import iso_time
from shared.runtime.clock import read_clock
from shared.runtime.durable_files import PRIVATE, make_private_folder

AuditKind = Literal["access", "changes"]
KINDS: tuple[AuditKind, ...] = ("access", "changes")

FOLDER = "audit"
"""The folder of the files in `DATA_DIR`."""

_PAUSE_SECONDS = 0.2
_WAITING_ENTRIES = 10_000
# A kind has at least so many files: one is removed when a new one is begun.
_SHARES = 8
# Each start of a server may begin a file.
_MAX_FILES = 512
_MAX_TEXT = 256

_encode = msgspec.json.Encoder().encode

_Entry = tuple[int, str, dict[str, Any]]
"""Time in microseconds, action, and members of an entry."""


class AuditFiles:
    """The files of one kind of entries of one server: together at most `max_bytes`, the oldest ones are removed."""

    def __init__(self, folder: Path, name: str, *, max_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._file_bytes = max_bytes // _SHARES
        self._path: Path | None = None
        self._size = 0

    def append_lines(self, lines: bytes) -> None:
        """Appends lines to the newest file. Raises OSError."""
        if self._path is None or self._size + len(lines) > self._file_bytes:
            self._begin_file()
        assert self._path is not None
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "ab") as file:
            file.write(lines)
        self._size += len(lines)

    def _begin_file(self) -> None:
        """Removes the oldest files and names a new one by time and process, since a server may run several times."""
        make_private_folder(self._folder)
        kept = 0
        for files, path in enumerate(sorted(self._folder.glob(f"{self._name}-*.jsonl"), reverse=True), 1):
            kept += path.stat().st_size
            if kept > self._max_bytes - self._file_bytes or files >= _MAX_FILES:
                path.unlink(missing_ok=True)
        self._path = self._folder / f"{self._name}-{time.time_ns() // 1000:016x}-{os.getpid()}.jsonl"
        self._size = 0


class AuditLog:
    """Collects the entries of `server` and writes them into `folder`, at most `max_bytes` of each kind.

    `run` writes until it is cancelled; call `close` after it. A full disk costs entries, and nothing else.
    """

    def __init__(self, folder: Path, server: str, *, max_bytes: int) -> None:
        self._server = server
        self._files = {kind: AuditFiles(folder, f"{server}-{kind}", max_bytes=max_bytes) for kind in KINDS}
        self._waiting: dict[AuditKind, list[_Entry]] = {kind: [] for kind in KINDS}
        self._lost = 0
        self._writing: asyncio.Future[None] | None = None
        self._wakeup = asyncio.Event()
        self._log = structlog.get_logger()

    def record_change(self, action: str, **members: Any) -> None:
        """Records a change. Members that are None are left out; long texts are cut."""
        self._record("changes", action, members)

    def record_access(self, action: str, **members: Any) -> None:
        """Records a sign-in, a refusal, or a change of what somebody may do."""
        self._record("access", action, members)

    def record_refused_client(self, address: str) -> None:
        """Records a connection that was refused since it did not send the token of the port."""
        self.record_access("authenticate", address=address, outcome="refused")

    def _record(self, kind: AuditKind, action: str, members: dict[str, Any]) -> None:
        waiting = self._waiting[kind]
        if len(waiting) >= _WAITING_ENTRIES:
            self._lost += 1
            return
        waiting.append((read_clock(), action, members))
        if not self._wakeup.is_set():
            self._wakeup.set()

    async def run(self) -> None:
        """Writes entries until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            await asyncio.shield(self._start_writing())
            # Those of many requests are written together.
            await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Writes the last entries."""
        # A cancelled `run` leaves its last write to the thread.
        if self._writing is not None:
            await self._writing
        await self._start_writing()

    def _start_writing(self) -> "asyncio.Future[None]":
        taken, self._waiting = self._waiting, {kind: [] for kind in KINDS}
        lost, self._lost = self._lost, 0
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write_entries, taken, lost)
        return self._writing

    def _write_entries(self, entries: dict[AuditKind, list[_Entry]], lost: int) -> None:
        reason = "more entries than could be written"
        for kind, taken in entries.items():
            if taken:
                try:
                    self._files[kind].append_lines(_encode_lines(self._server, taken))
                except OSError as error:
                    lost += len(taken)
                    reason = str(error)
        if lost:
            self._log.error("audit_entries_lost", entries=lost, reason=reason)


def _encode_lines(server: str, entries: Iterable[_Entry]) -> bytes:
    lines = []
    second, text = 0, ""
    for at, action, members in entries:
        if at // 1_000_000 != second:
            second = at // 1_000_000
            text = iso_time(second * 1_000_000)[:-7]
        entry = {"at": f"{text}{at % 1_000_000:06d}Z", "server": server, "action": action}
        for name, value in members.items():
            if value is not None:
                entry[name] = value[:_MAX_TEXT] if type(value) is str else value
        lines.append(_encode(entry))
    lines.append(b"")
    return b"\n".join(lines)


def list_audit_files(folder: Path, kinds: Iterable[AuditKind]) -> list[Path]:
    """Returns the files with entries of these kinds, of all servers."""
    return sorted(path for kind in kinds for path in folder.glob(f"*-{kind}-*.jsonl"))
