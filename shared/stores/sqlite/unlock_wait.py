"""Waiting at the start until other programs, such as a database browser, release their locks on files."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from shared.domain.errors import StartupError
from shared.runtime.waiting import wait_for_event
from shared.stores.sqlite.database import is_busy, sqlite

_LOOK_SECONDS = 0.1
_TELL_SECONDS = 5.0
# Workers of a previous run and readers of files hold locks briefly.
_SILENT_SECONDS = 0.5


async def wait_until_unlocked(paths: Sequence[Path], stop: asyncio.Event, *, seconds: float) -> None:
    """Waits until no process holds the write lock of any of these files; ignores files that are no databases.

    Raises StartupError after `seconds`, and if `stop` is set. The caller has none of the files open.
    """
    began = time.monotonic()
    tell_at = began + _SILENT_SECONDS
    while (path := next(filter(_is_locked, paths), None)) is not None:
        if stop.is_set():
            raise StartupError(f"stopped while {path} was locked by another program")
        now = time.monotonic()
        if now - began >= seconds:
            raise StartupError(
                f"{path} has been locked by another program for {seconds:g} s",
                hint="end what holds it, as a database browser or an open transaction, or raise STORE_LOCK_SECONDS",
            )
        if now >= tell_at:
            tell_at = now + _TELL_SECONDS
            structlog.get_logger().warning("store_locked", file=str(path), waiting_s=round(now - began))
        await wait_for_event(stop, _LOOK_SECONDS)


def _is_locked(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with contextlib.closing(sqlite.connect(str(path), isolation_level=None, timeout=0.0)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite.Error as error:
        # Opening the file reports other errors.
        return is_busy(error)
    return False
