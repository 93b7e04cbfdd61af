"""Bounds how many imports are kept: those that ended long ago are deleted, with their rows.

An import that is being deleted is turned back into one that is only staged. Nobody sees or undoes it any more, and
whoever is killed half-way leaves one that the applier removes as it removes uploads that never ended.
"""

import asyncio
import time
from typing import Any

import structlog

from clients.errors import ClientError, Refused
from clients.inventory.records import is_conflict
from clients.inventory.upload import remove_rows, remove_staged
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.patience import Patience
from shared.domain.orders import iso_time
from shared.domain.records import Condition, Delete, Update
from shared.domain.stock import ImportState
from shared.domain.tables import IMPORT_FILES, IMPORTS

_EVERY_SECONDS = 86_400.0
_FIRST_SECONDS = 600.0
_PAGE = 50
# Of its time, how much it leaves to others.
_SPARE = 4.0
_ENDED = (ImportState.APPLIED, ImportState.UNDONE)


class ImportRetention:
    """Deletes imports that were received more than `keep_days` ago, once a day. Until cancelled."""

    def __init__(self, client: PersistenceClient, *, keep_days: float) -> None:
        self._client = client
        self._records = client
        self._keep_seconds = keep_days * 86_400
        self._patience = Patience("import retention")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works once a day. Servers that are away are waited for."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                removed = await self.remove_old()
            except ClientError as error:
                await self._patience.wait(error)
                continue
            self._patience.answered()
            self._log.info("imports_removed", imports=removed)
            await asyncio.sleep(_EVERY_SECONDS)

    async def remove_old(self) -> int:
        """Deletes every import that is old enough and has ended; returns how many. Raises ClientError."""
        before = iso_time(round((time.time() - self._keep_seconds) * 1e6))
        removed = 0
        cursor: str | None = None
        while True:
            page = await self._client.query(IMPORTS.name, "by_time", page_size=_PAGE, cursor=cursor)
            for stored in page.items:
                if stored.item is None or stored.item["received"] >= before:
                    return removed
                began = time.monotonic()
                removed += await self._remove(stored, stored.item)
                await asyncio.sleep((time.monotonic() - began) * _SPARE)
            cursor = page.cursor
            if cursor is None:
                return removed

    async def _remove(self, stored: StoredItem, header: dict[str, Any]) -> bool:
        """Deletes an import unless it is at work or has just changed: whether it did."""
        if header.get("state") not in _ENDED:
            return False
        name = header["id"]
        back = {"state": ImportState.STAGED.value, "begun": header["received"]}
        when = Condition(version=stored.version)
        try:
            await self._client.transact([Update(IMPORTS.name, {"id": name}, set=back, remove=["received"], when=when)])
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            return False
        # The same bytes are a new file from now on; where they came in once more, they are that import's.
        file = Delete(IMPORT_FILES.name, {"digest": header["digest"]}, Condition(equal={"import": name}))
        await self._client.batch([file], safe=True)
        await remove_rows(self._records, name)
        await remove_staged(self._records, name)
        return True
