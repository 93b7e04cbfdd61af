"""Keeps the files of the store from growing: deletes what is not needed, and has old final orders archived.

Archiving takes processor time, so a process of its own does it (`python -m clients archive`), at a low priority. The
intake only deletes the rows, a small portion at a time.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping

import structlog

from services.intake.settings import IntakeSettings
from shared.domain.errors import StoreError
from shared.domain.orders import iso_time
from shared.runtime.waiting import wait_for_event
from shared.stores.ports.orders import OrderStore

_PAUSE_SECONDS = 0.1
_REST_SECONDS = 2.0
_ARCHIVE_SECONDS = 3600.0
_DAY_SECONDS = 86_400
_TOLD_BYTES = 500


class Retention:
    """Works on a store until cancelled. With `keep_days` final orders are archived when they are older."""

    def __init__(self, store: OrderStore, *, keep_days: float, environ: Mapping[str, str]) -> None:
        self._store = store
        self._keep_days = keep_days
        self._environ = environ
        self._archived = asyncio.Event()
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Tidies up now and then, and archives every hour."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._tidy_now_and_then())
            if self._keep_days:
                parts.create_task(self._archive_now_and_then())

    async def _tidy_now_and_then(self) -> None:
        trouble: str | None = None
        while True:
            more = False
            try:
                more = await self._store.tidy()
                trouble = None
            except StoreError as error:
                if trouble is None:
                    self._log.warning("store_not_tidied", reason=error.message)
                trouble = error.message
            if more:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._archived.clear()
            await wait_for_event(self._archived, _REST_SECONDS)

    async def _archive_now_and_then(self) -> None:
        while True:
            await self._archive()
            self._archived.set()
            await asyncio.sleep(_ARCHIVE_SECONDS)

    async def _archive(self) -> None:
        # Whole days, so that a day is one file and not twenty-four.
        before = (time.time() - self._keep_days * _DAY_SECONDS) // _DAY_SECONDS * _DAY_SECONDS
        command = (sys.executable, "-m", "clients", "archive", "--before", iso_time(round(before * 1e6)), "--json")
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **self._environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            told, errors = await process.communicate()
        except asyncio.CancelledError:
            # It can be killed at any moment.
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            reason = errors.decode(errors="replace").strip()[-_TOLD_BYTES:]
            self._log.warning("orders_not_archived", status=process.returncode, reason=reason)
        else:
            self._log.info("orders_archived", result=told.decode(errors="replace").strip())


def retention_of(settings: IntakeSettings, store: OrderStore) -> Retention:
    """Returns what the settings say about what is kept."""
    environ = {"STORE": settings.store, "DATA_DIR": settings.data_dir, "DB_PATH": settings.db_path or ""}
    keep_days = settings.keep_final_days if settings.store == "sqlite" else 0.0
    return Retention(store, keep_days=keep_days, environ=environ)
