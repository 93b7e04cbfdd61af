"""Makes the Parquet files of the days that have new events."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from services.lake.progress import LakeDay
from shared.domain.errors import StoreError
from shared.lake.layout import day_folder, is_joined, name_joined, state_path
from shared.lake.states import (
    derive_lines,
    derive_orders,
    merge_rows,
    read_events,
    read_state,
    translate_errors,
    write_state,
)
from shared.lake.storage import LakeStorage
from shared.lake.tables import BY_EVENTS, ORDER_ATTEMPTS, ORDER_STEPS, ORDERS, PURCHASE_LINES, PURCHASES, LakeTable

T = TypeVar("T")

_PART_BYTES: Final = 64 * 2**20
"""Events that are merged at a time."""
_SMALL_FILES: Final = 64
"""Files of events of a day from which they are joined into one."""


class DirtyDays:
    """The days whose Parquet file lacks events, with the files of those; None means all files of the day."""

    def __init__(self, days: Sequence[LakeDay]) -> None:
        self._files: dict[LakeDay, list[str] | None] = dict.fromkeys(days)
        self._taken: set[LakeDay] = set()
        self.changed = asyncio.Event()

    def add(self, day: LakeDay, file: str | None) -> None:
        """Adds a file of events; None adds all of the day's."""
        files = self._files.setdefault(day, [])
        if file is None:
            self._files[day] = None
        elif files is not None:
            files.append(file)
        self.changed.set()

    def take(self) -> Mapping[LakeDay, list[str] | None]:
        """Returns the days that wait; they stay dirty until `finish`."""
        taken, self._files = self._files, {}
        self._taken |= taken.keys()
        self.changed.clear()
        return taken

    def finish(self, day: LakeDay, *, failed: bool = False) -> None:
        """Ends the work on a day; after a failure it waits again, with all of its files."""
        self._taken.discard(day)
        if failed:
            self.add(day, None)

    def list_days(self) -> set[LakeDay]:
        """Returns all days whose file has to be made."""
        return self._files.keys() | self._taken


class StateKeeper:
    """Makes Parquet files of events. All methods raise StoreError."""

    def __init__(self, storage: LakeStorage) -> None:
        self._storage = storage
        self._merged: Counter[LakeDay] = Counter()
        """Files of events that were merged since the day's were joined."""
        self._log = structlog.get_logger()

    async def update_day(self, day: LakeDay, files: Sequence[str] | None) -> None:
        """Merges files of events into the state of their day; None merges all of the day's."""
        rows = await self._load_state(state_path(day.tenant, BY_EVENTS[day.folder], day.day), BY_EVENTS[day.folder])
        merged = await self._merge_files(day, rows, None if rows is None else files)
        self._merged[day] += merged
        if self._merged[day] >= _SMALL_FILES:
            await self.join_events(day)
            del self._merged[day]

    async def join_events(self, day: LakeDay) -> None:
        """Joins the files of events of a day into fewer. After a kill in between some rows are in two files."""
        small = [
            path
            for path in await self._storage.list_files(day_folder(day.tenant, day.folder, day.day))
            if not is_joined(path)
        ]
        while small:
            content, taken = bytearray(), list[str]()
            while small and len(content) < _PART_BYTES:
                taken.append(small.pop(0))
                content += await self._storage.read(taken[-1]) or b""
            await self._storage.write(name_joined(taken[0]), bytes(content))
            for path in taken:
                await self._storage.remove(path)

    async def rebuild_day(self, day: LakeDay) -> None:
        """Makes the state of a day from its events alone."""
        await self._merge_files(day, None, None)

    async def _merge_files(self, day: LakeDay, rows: Any, files: Sequence[str] | None) -> int:
        """Returns the number of files of events that were merged."""
        table = BY_EVENTS[day.folder]
        if files is None:
            files = await self._storage.list_files(day_folder(day.tenant, day.folder, day.day))
        parts: list[Any] = [] if rows is None else [rows]
        size = 0
        for file in files:
            data = await self._storage.read(file) or b""
            try:
                parts.append(await _run(partial(read_events, data, table)))
            except StoreError as error:
                # One damaged file must not keep all others out.
                self._log.error("lake_file_unreadable", file=file, reason=error.message)
            size += len(data)
            if size > _PART_BYTES:
                parts, size = [await _run(partial(merge_rows, table, parts))], 0
        if parts:
            await self.write_day(day, await _run(partial(merge_rows, table, parts)))
        return len(files)

    async def write_day(self, day: LakeDay, rows: Any) -> None:
        """Replaces the file of a day, and those that are derived from it."""
        table = BY_EVENTS[day.folder]
        await self._write(day.tenant, table, day.day, rows)
        if table is PURCHASES:
            await self._write(day.tenant, PURCHASE_LINES, day.day, await _run(partial(derive_lines, rows)))
        elif table is ORDER_STEPS:
            orders, attempts = await _run(partial(derive_orders, rows))
            await self._write(day.tenant, ORDER_ATTEMPTS, day.day, attempts)
            await self._write(day.tenant, ORDERS, day.day, orders)

    async def write_single(self, tenant: str, table: LakeTable, rows: Any) -> None:
        """Replaces the file of a table with a single file."""
        await self._write(tenant, table, None, rows)

    async def _write(self, tenant: str, table: LakeTable, day: str | None, rows: Any) -> None:
        path = state_path(tenant, table, day)
        data = await _run(partial(write_state, rows, table))
        if await self._storage.read(path) != data:
            await self._storage.write(path, data)

    async def _load_state(self, path: str, table: LakeTable) -> Any:
        data = await self._storage.read(path)
        if data is None:
            return None
        try:
            return await _run(partial(read_state, data, table))
        except StoreError as error:
            self._log.warning("lake_file_damaged", file=path, reason=error.message)
            return None


async def _run(function: Callable[[], T]) -> T:
    """Runs a function beside the event loop: Arrow releases the interpreter's lock. Raises StoreError."""
    with translate_errors("the files of a day cannot be made"):
        return await asyncio.get_running_loop().run_in_executor(None, function)
