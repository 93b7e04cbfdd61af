"""Retention of the audit log: old entries move to compressed files, and the chain starts after them.

The record of the chain's end says as well which entry was moved last (`archived`) and what its hash is. So the first
entry that is left still has to follow it, and the last line of the newest file has that hash.

    write the file, sync it     after a kill it is written again
    set `archived`              from here on the file has these entries
    delete them, 99 at a time   after a kill the rest is deleted
"""

import asyncio
import gzip
import time
from pathlib import Path

import structlog

from services.persistence.audit import TENANT, Audit
from shared.domain.errors import StoreError
from shared.domain.orders import iso_time
from shared.domain.records import MAX_ACTIONS, Delete, Item, Transaction, Update
from shared.domain.tables import CHAINS
from shared.runtime.durable_files import PRIVATE_FOLDER, write_file
from shared.stores.ports.records import RecordQuery, RecordStore

_EVERY_SECONDS = 3600.0
_FIRST_SECONDS = 60.0
_FILE_ENTRIES = 10_000
_PAGE = 1000
# Of its time, how much it leaves to others.
_SPARE = 9.0


class AuditRetention:
    """Moves the entries of one chain that are older than `keep_days` into `folder`, once an hour. Until cancelled."""

    def __init__(self, store: RecordStore, audit: Audit, folder: Path, *, keep_days: float) -> None:
        self._store = store
        self._audit = audit
        self._folder = folder
        self._keep_seconds = keep_days * 86_400
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Runs once an hour; failures are retried the next time."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                await self.move_old()
            except (StoreError, OSError) as error:
                self._log.warning("audit_log_not_moved", reason=str(error))
            await asyncio.sleep(_EVERY_SECONDS)

    async def move_old(self) -> int:
        """Moves all expired entries; returns their number. Raises StoreError and OSError."""
        before = iso_time(round((time.time() - self._keep_seconds) * 1e6))
        moved = 0
        # A proof that is being made reads from the first entry on.
        async with self._audit.lock:
            await self._delete_moved()
            while entries := await self._load_expired(before):
                await asyncio.to_thread(self._move_entries, entries)
                last = entries[-1]
                end = {"archived": last["number"], "archived_hash": last["hash"]}
                await self._write_store([Update(CHAINS.name, {"chain": self._audit.chain}, set=end)])
                await self._delete_moved()
                moved += len(entries)
                self._log.info("audit_log_moved", entries=len(entries), last=last["number"])
        return moved

    async def _load_expired(self, before: str) -> list[Item]:
        """Returns the entries of the next file."""
        end = await self._audit.read_end()
        found: list[Item] = []
        while len(found) < _FILE_ENTRIES:
            low = found[-1]["number"] + 1 if found else end.archived + 1
            query = RecordQuery(
                TENANT, self._audit.table, partition=self._audit.chain, low=low, high=end.number, limit=_PAGE
            )
            page = [record.item for record in (await self._store.query(query)).records]
            old = [entry for entry in page if entry["timestamp"] < before]
            found += old
            if len(old) < len(page) or not page:
                break
        return found

    def _move_entries(self, entries: list[Item]) -> None:
        first, last = entries[0], entries[-1]
        folder = self._folder / first["timestamp"][:7]
        for path in (self._folder, folder):
            path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        name = f"{first['chain']}-{first['number']:012d}-{last['number']:012d}.jsonl.gz"
        lines = b"".join(self._audit.encode_entry(entry) + b"\n" for entry in entries)
        # The same entries make the same bytes.
        write_file(folder / name, gzip.compress(lines, mtime=0))

    async def _delete_moved(self) -> None:
        high = (await self._audit.read_end()).archived
        while True:
            began = time.monotonic()
            query = RecordQuery(
                TENANT, self._audit.table, partition=self._audit.chain, high=high, limit=MAX_ACTIONS - 1
            )
            records = (await self._store.query(query)).records
            if not high or not records:
                return
            keys = [{name: record.item[name] for name in ("chain", "number")} for record in records]
            await self._write_store([Delete(self._audit.table, key) for key in keys])
            await asyncio.sleep((time.monotonic() - began) * _SPARE)

    async def _write_store(self, actions: list[Update] | list[Delete]) -> None:
        (outcome,) = await self._store.write([Transaction(TENANT, list(actions))])
        if isinstance(outcome, StoreError):
            raise outcome
