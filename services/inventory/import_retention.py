"""Deletes imports that ended long ago, together with their rows.

An import is first changed back to a staged one, which clients neither see nor undo. If the deletion is interrupted, the
applier removes the rest, as it removes abandoned uploads.
"""

import asyncio
import time
from typing import Any

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.request_errors import is_conflict
from clients.inventory.upload import remove_rows, remove_staged
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.server_retry import ServerRetry
from services.inventory.tenants import list_tenant_names, view_of
from shared.domain.orders import iso_time
from shared.domain.records import Condition, Delete, Update
from shared.domain.stock import ImportState
from shared.domain.tables import IMPORT_FILES, IMPORTS
from shared.domain.tenants import MAIN

_INTERVAL_SECONDS = 86_400.0
_INITIAL_DELAY_SECONDS = 600.0
_PAGE = 50
# Pause after each import, as a multiple of the time that it took.
_PAUSE_RATIO = 4.0
_ENDED = (ImportState.APPLIED, ImportState.UNDONE)


class ImportRetention:
    """Deletes imports that were received more than `keep_days` ago, once a day, until cancelled."""

    def __init__(self, client: PersistenceClient, *, keep_days: float) -> None:
        self._client = client
        self._keep_seconds = keep_days * 86_400
        self._server_retry = ServerRetry("import retention")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works once a day. Waits for servers that are unavailable."""
        await asyncio.sleep(_INITIAL_DELAY_SECONDS)
        while True:
            try:
                removed = 0
                for tenant in await list_tenant_names(self._client):
                    removed += await self.remove_old(tenant)
            except ClientError as error:
                await self._server_retry.wait_after_error(error)
                continue
            self._server_retry.record_answer()
            self._log.info("imports_removed", imports=removed)
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def remove_old(self, tenant: str = MAIN) -> int:
        """Deletes every old import of a tenant that has ended. Returns their number. Raises ClientError."""
        records = view_of(self._client, tenant)
        before = iso_time(round((time.time() - self._keep_seconds) * 1e6))
        removed = 0
        async for page in records.iterate_pages(IMPORTS.name, "by_time", page_size=_PAGE):
            for stored in page.items:
                if stored.item is None or stored.item["received"] >= before:
                    return removed
                began = time.monotonic()
                removed += await _remove_import(records, stored, stored.item)
                await asyncio.sleep((time.monotonic() - began) * _PAUSE_RATIO)
        return removed


async def _remove_import(records: PersistenceClient, stored: StoredItem, header: dict[str, Any]) -> bool:
    """Deletes an import unless it is active or has just changed. Returns whether it did."""
    if header.get("state") not in _ENDED:
        return False
    name = header["id"]
    back = {"state": ImportState.STAGED.value, "begun": header["received"]}
    when = Condition(version=stored.version)
    try:
        await records.transact([Update(IMPORTS.name, {"id": name}, set=back, remove=["received"], when=when)])
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        return False
    # From now on the same file is a new one. If it was imported again, the digest belongs to that import.
    file = Delete(IMPORT_FILES.name, {"digest": header["digest"]}, Condition(equal={"import": name}))
    await records.batch([file], safe=True)
    await remove_rows(records, name)
    await remove_staged(records, name)
    return True
