"""The audit log: every operation on corporate data, each entry chained to the one before by its hash.

A server has a chain of its own, so that several never wait for each other. An entry's hash is the SHA-256
of the entry as JSON with sorted names, the hash of the entry before among them. The end of a chain is
recorded apart, in the same commit: cutting entries off shows as well as changing one. Old entries may have been moved
to files (`audit_retention.py`); a chain then begins behind the last of them.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import msgspec

from shared.domain.errors import InvalidParams
from shared.domain.records import MAX_ITEM_BYTES, Item, Put, Table, Transaction, Update
from shared.domain.tables import CHAINS
from shared.stores.ports.records import ItemLookup, RecordQuery, RecordStore

TENANT = "main"
"""Corporate data and its log belong to one tenant."""
START = "0" * 64
_PAGE = 1000
_MAX_ENTRY_BYTES = MAX_ITEM_BYTES - 1024

_encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def entry_hash(entry: Item) -> str:
    """Returns the hash of an entry, computed without its member `hash`."""
    return _compute_hash(_encode({name: value for name, value in entry.items() if name != "hash"}))


def _compute_hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


class ChainEnd(NamedTuple):
    """The last entry of a chain, and the last one that was moved to a file."""

    number: int
    hash: str
    archived: int
    archived_hash: str


class Audit:
    """Writes one chain of the log `table`. Call `load_end` first, and again after a failed commit."""

    def __init__(self, store: RecordStore, table: Table, chain: str) -> None:
        self._store = store
        self._table = table
        self._chain = chain
        self._number = 0
        self._hash = START
        self._stored = 0
        self.lock = asyncio.Lock()
        """Lock for verifying the log and for moving entries out of it."""

    @property
    def chain(self) -> str:
        """The name of the chain."""
        return self._chain

    @property
    def table(self) -> str:
        """The name of the log's table."""
        return self._table.name

    @staticmethod
    def encode_entry(entry: Item) -> bytes:
        """Returns an entry as JSON, in the form of its hash."""
        return _encode(entry)

    async def load_end(self) -> None:
        """Loads the end of the chain from the store. Raises StoreError."""
        self._number, self._hash, _, _ = await self.read_end()
        self._stored = self._number
        # Where a commit failed half-way, entries were written behind the end.
        last = await self._store.query(
            RecordQuery(TENANT, self._table.name, partition=self._chain, descending=True, limit=1)
        )
        if last.records and last.records[0].item["number"] > self._number:
            self._number, self._hash = (last.records[0].item[name] for name in ("number", "hash"))

    async def read_end(self) -> ChainEnd:
        """Returns the stored end of the chain. Raises StoreError."""
        (record,) = await self._store.get([ItemLookup(TENANT, CHAINS.name, {"chain": self._chain})])
        return _chain_end({} if record is None else record.item)

    def append_entry(
        self, action: str, details: Mapping[str, Any], *, record: str | None, who: str, session: str, now: str
    ) -> Put:
        """Returns the next entry; `now` is its timestamp, `details` are in the form of stored values.

        Raises InvalidParams for details that are too large to be recorded.
        """
        item: Item = {
            "chain": self._chain,
            "number": self._number + 1,
            "id": f"{self._chain}:{self._number + 1}",
            "CPUid": who,
            "sessionid": session,
            "timestamp": now,
            "action": action,
            "details": details,
            "previous": self._hash,
        }
        if record is not None:
            item["record"] = record
        text = _encode(item)
        # As JSON an entry is no smaller than as an item, numbers aside, and those are bounded by the record's size.
        if len(text) > _MAX_ENTRY_BYTES:
            raise InvalidParams(
                f"the audit entry has {len(text)} bytes, and may have {_MAX_ENTRY_BYTES}",
                hint="store the record in parts",
            )
        item["hash"] = _compute_hash(text)
        self._number += 1
        self._hash = item["hash"]
        return Put(self._table.name, item)

    def end_record(self) -> Transaction | None:
        """Returns the transaction that stores the end of the chain, or None without new entries."""
        if self._number == self._stored:
            return None
        self._stored = self._number
        end = {"number": self._number, "hash": self._hash}
        return Transaction(TENANT, [Update(CHAINS.name, {"chain": self._chain}, set=end)])

    async def verify_chains(self) -> dict[str, Any]:
        """Verifies every chain from its first entry outside files to its end; returns the members of the answer."""
        async with self.lock:
            return await self._verify_chain()

    async def _verify_chain(self) -> dict[str, Any]:
        entries, own = 0, self._stored
        ends = [end async for end in self._load_entries(RecordQuery(TENANT, CHAINS.name, "all", limit=_PAGE))]
        if (await self.read_end()).number < own:
            return _broken_answer(self._chain, own, 0, "the end of the chain was changed")
        archived = 0
        for end in ends:
            chain = end["chain"]
            _, _, number, before = _chain_end(end)
            archived += number
            query = RecordQuery(TENANT, self._table.name, partition=chain, low=number + 1, limit=_PAGE)
            async for entry in self._load_entries(query):
                number += 1
                if (reason := _find_fault(entry, number, before)) is not None:
                    return _broken_answer(chain, number, entries, reason)
                entries += 1
                before = entry["hash"]
            if number < end["number"]:
                return _broken_answer(chain, number + 1, entries, "it is missing, and so is all that followed")
        proved = {"valid": True, "entries": entries, "chains": len(ends)}
        return proved | ({"archived": archived} if archived else {})

    async def _load_entries(self, query: RecordQuery) -> AsyncIterator[Item]:
        after = None
        while True:
            page = await self._store.query(msgspec.structs.replace(query, after=after))
            for record in page.records:
                yield record.item
            after = page.after
            if after is None:
                return


def _chain_end(item: Item) -> ChainEnd:
    return ChainEnd(
        item.get("number", 0), item.get("hash", START), item.get("archived", 0), item.get("archived_hash", START)
    )


def _find_fault(entry: Item, number: int, before: str) -> str | None:
    """Returns the fault of an entry that should be number `number` after the hash `before`, or None."""
    if entry["number"] != number:
        return "it is missing"
    if entry["hash"] != entry_hash(entry):
        return "it was changed"
    if entry["previous"] != before:
        return "it does not follow the entry before it"
    return None


def _broken_answer(chain: str, number: int, entries: int, reason: str) -> dict[str, Any]:
    broken = {"id": f"{chain}:{number}", "chain": chain, "number": number}
    return {"valid": False, "entries": entries, "broken": broken, "reason": reason}
