"""The work of the lake's service: exports, files of days, books, requests of users, and retention."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from clients.errors import ClientError
from clients.lake.requests import LakeHeartbeat, LakeRequest, finish_request, list_requests, send_heartbeat
from clients.persistence import PersistenceClient
from services.lake.exporter import FeedGone, ForgottenUsers, LakeExporter
from services.lake.maintenance import forget_person, list_event_days, remove_old_files, rewrite_files
from services.lake.progress import LakeDay, LakeProgress
from services.lake.records_reader import iterate_purchases, list_tenants, read_books
from services.lake.state_keeper import DirtyDays, StateKeeper
from shared.domain.errors import NotFound, StoreError
from shared.lake.states import make_rows, merge_rows, read_events
from shared.lake.storage import LakeStorage
from shared.lake.tables import BOOKS, PURCHASES
from shared.stores.ports.feeds import OrderFeed

_MARK: Final = "_lake.json"
"""The file that says that there is a lake: without it everything is exported again."""
_FORGOTTEN: Final = "_forgotten.json"
_POLL_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 2.0
_REQUEST_SECONDS: Final = 1.0
_PAUSE_RATIO: Final = 4.0
_BOOKS_PAUSE_RATIO: Final = 20.0
"""The pause before a catalogue is read again, as a multiple of the time that it took: 1,000 books take 0.2 s."""
_HEARTBEAT_SECONDS: Final = 5.0
_RETENTION_SECONDS: Final = 3600.0
_SHOWN: Final = 300


class LakeWorker:
    """Does the work until cancelled. Servers and a storage that are unavailable are tried again."""

    def __init__(
        self,
        records: PersistenceClient,
        orders: OrderFeed | None,
        storage: LakeStorage,
        progress: LakeProgress,
        *,
        state_seconds: float,
        retention: Mapping[str, float],
    ) -> None:
        self._records = records
        self._storage = storage
        self._progress = progress
        self._state_seconds = state_seconds
        self._retention = retention
        self._keeper = StateKeeper(storage)
        self._days = DirtyDays([])
        self._forgotten = ForgottenUsers({})
        self._exporter = LakeExporter(records, orders, storage, progress, self._days, self._forgotten)
        self._caught_up_at = time.time()
        self._books_due: dict[str, float] = {}
        self._trouble: str | None = None
        self._files = asyncio.Lock()
        """Held while files of days are read and replaced."""
        self._batches = asyncio.Lock()
        """Held while a batch is exported."""
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works until cancelled."""
        await self._repeat(self._prepare_once)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._repeat(self._export_once))
            parts.create_task(self._repeat(self._update_once))
            parts.create_task(self._repeat(self._serve_once))
            parts.create_task(self._send_heartbeats())
            if self._retention:
                parts.create_task(self._repeat(self._remove_once))

    async def _repeat(self, step: Callable[[], Awaitable[float | None]]) -> None:
        """Takes a step again after the seconds that it returns, until it returns None.

        The log has one warning for each outage.
        """
        failed = False
        while True:
            try:
                pause = await step()
                failed = False
            except (ClientError, StoreError) as error:
                if not failed and isinstance(error, StoreError):
                    self._log.warning("lake_behind", reason=error.message)
                failed, pause = True, _RETRY_SECONDS
                self._trouble = error.message[:_SHOWN]
            else:
                self._trouble = None
            if pause is None:
                return
            await asyncio.sleep(pause)

    async def prepare(self) -> None:
        """Reads what the lake has. Raises StoreError."""
        if await self._storage.read(_MARK) is None:
            self._progress.restart(orders=True)
            await self._storage.write(_MARK, b'{"format":1}\n')
        if (data := await self._storage.read(_FORGOTTEN)) is not None:
            try:
                forgotten = msgspec.json.decode(data, type=dict[str, list[str]])
            except msgspec.DecodeError:
                raise StoreError(f"{_FORGOTTEN} of the lake is damaged: it lists forgotten users by tenant") from None
            for tenant, users in forgotten.items():
                for user in users:
                    self._forgotten.add(tenant, user)
        for day in self._progress.list_dirty():
            self._days.add(day, None)

    # Export.

    async def export(self) -> bool:
        """Exports a batch of each feed; returns whether there may be more. Raises ClientError and StoreError."""
        async with self._batches:
            try:
                more = await self._exporter.export_records()
            except FeedGone as error:
                self._log.warning("lake_changes_missed", reason=str(error))
                self._progress.restart(orders=False)
                return True
            more |= await self._exporter.export_orders()
        if not self._progress.is_complete:
            for tenant in await list_tenants(self._records):
                await self.rebuild_purchases(tenant)
                self._days.add(LakeDay(tenant, BOOKS.name, ""), None)
            self._progress.save(self._days.list_days())
            self._progress.set_complete()
        return more

    async def rebuild_purchases(self, tenant: str) -> None:
        """Makes the files of a tenant's purchases from the records. Raises ClientError and StoreError."""
        assert PURCHASES.events is not None
        # A change that is merged between the reading of a day and its writing would be lost.
        async with self._files:
            async for found in iterate_purchases(self._records, tenant, self._forgotten.of(tenant)):
                rows = await asyncio.to_thread(_merge_lines, found.lines)
                await self._keeper.write_day(LakeDay(tenant, PURCHASES.events, found.day), rows)

    async def update_books(self, tenant: str) -> None:
        """Replaces the file of a tenant's books. Raises ClientError and StoreError.

        All books are read for it, so a large catalogue is not read again after each change.
        """
        began = time.monotonic()
        try:
            rows = await read_books(self._records, tenant)
        except NotFound:
            return
        await self._keeper.write_single(tenant, BOOKS, make_rows(BOOKS, rows))
        self._books_due[tenant] = time.monotonic() + _BOOKS_PAUSE_RATIO * (time.monotonic() - began)

    async def update_states(self) -> None:
        """Makes the files of all days with new events. Raises ClientError and StoreError."""
        failure: ClientError | StoreError | None = None
        for day, files in self._days.take().items():
            failed = day.folder == BOOKS.name and time.monotonic() < self._books_due.get(day.tenant, 0.0)
            if failed:
                self._days.finish(day, failed=True)
                continue
            try:
                async with self._files:
                    if day.folder == BOOKS.name:
                        await self.update_books(day.tenant)
                    else:
                        await self._keeper.update_day(day, files)
            except (ClientError, StoreError) as error:
                # One day must not keep the others out.
                failed, failure = True, error
            self._days.finish(day, failed=failed)
        self._progress.save(self._days.list_days())
        if failure is not None:
            raise failure

    async def serve_request(self, request: LakeRequest) -> None:
        """Does what a user has asked for. Raises ClientError and StoreError."""
        match request.kind:
            case "rebuild":
                await self.rebuild_purchases(request.tenant)
                await self._rebuild_days(request.tenant)
            case "rewrite":
                async with self._files:
                    await rewrite_files(self._storage, request.tenant)
            case "forget":
                # No batch is under way that has the name still.
                async with self._batches, self._files:
                    self._forgotten.add(request.tenant, request.user)
                    await self._storage.write(_FORGOTTEN, msgspec.json.encode(self._forgotten.to_builtins()))
                    await forget_person(self._storage, request.tenant, request.user)

    async def _rebuild_days(self, tenant: str) -> None:
        """Makes the files of all days that are made of events, and of the books."""
        for day in await list_event_days(self._storage, tenant):
            if day.folder != PURCHASES.events:
                async with self._files:
                    await self._keeper.rebuild_day(day)
        async with self._files:
            await self.update_books(tenant)

    # Steps.

    async def _prepare_once(self) -> None:
        await self.prepare()

    async def _export_once(self) -> float:
        began = time.time()
        if await self.export():
            return 0.0
        self._caught_up_at = began
        return _POLL_SECONDS

    async def _update_once(self) -> float:
        await self._days.changed.wait()
        began = time.monotonic()
        await self.update_states()
        # A large lake spends at most a fifth of the time with files that change all the time.
        return max(self._state_seconds, _PAUSE_RATIO * (time.monotonic() - began))

    async def _serve_once(self) -> float:
        for request in await list_requests(self._records):
            self._log.info("lake_work_requested", kind=request.kind, tenant=request.tenant)
            await self.serve_request(request)
            await finish_request(self._records, request.number)
        return _REQUEST_SECONDS

    async def _remove_once(self) -> float:
        async with self._files:
            await remove_old_files(self._storage, self._retention)
        return _RETENTION_SECONDS

    async def _send_heartbeats(self) -> None:
        while True:
            beat = LakeHeartbeat(
                behind_s=round(max(time.time() - self._caught_up_at - _POLL_SECONDS, 0.0), 1),
                exported=self._exporter.exported,
                waiting_days=len(self._days.list_days()),
                trouble=self._trouble,
            )
            with contextlib.suppress(ClientError):
                await send_heartbeat(self._records, beat)
            await asyncio.sleep(_HEARTBEAT_SECONDS)


def _merge_lines(lines: bytes) -> Any:
    return merge_rows(PURCHASES, [read_events(lines, PURCHASES)])
