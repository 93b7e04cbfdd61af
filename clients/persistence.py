"""The asyncio client of the persistence server.

    async with PersistenceClient("localhost", 6000) as client:
        await client.set("X", {"cp": "3260"})
        record = await client.get("X")

Any number of tasks may use one client at a time. What only reads is sent again when its answer was lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from clients.access import OPEN, Access
from clients.base_client import BaseClient
from clients.errors import ConnectionLost, Refused, Unreachable
from clients.replies import Members
from shared.domain.records import Action, Condition

_decode_event = msgspec.json.Decoder(Members, float_hook=Decimal).decode


class StoredRecord(Struct, frozen=True):
    """A corporate record; each change counts its `version` up."""

    id: str
    version: int
    data: Members


class StoredItem(Struct, frozen=True):
    """An item of another service's table, None where there is none; each change counts its `version` up."""

    item: Members | None
    version: int


class ItemPage(Struct, frozen=True):
    """Answer to `query`; `cursor` leads to the next page."""

    items: list[StoredItem]
    cursor: str | None


class _Items(Struct, frozen=True):
    """Several items."""

    items: list[StoredItem]


class StoredChange(Struct, frozen=True):
    """One change of one item: what it was, and what it is; None is nothing."""

    table: str
    at: str
    old: StoredItem | None
    new: StoredItem | None


class ChangePage(Struct, frozen=True):
    """Answer to `changes`, and the position behind them."""

    changes: list[StoredChange]
    position: str


class Score(Struct, frozen=True, rename={"record": "nuevo_record", "best": "puntaje_maximo"}):
    """What became of a score: whether it is a record, and the user's best."""

    record: bool
    best: int


class PersistenceClient(BaseClient):
    """A client of one persistence server; `uuid` is who asks, as the audit log has it.

    See `BaseClient` for `timeout`, `patience` and for what every method raises.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6000,
        access: Access = OPEN,
        *,
        timeout: float = 10.0,
        patience: float | None = None,
        uuid: str | None = None,
    ) -> None:
        super().__init__(host, port, access, timeout=timeout, greeted=False, exact=True, patience=patience)
        self._who: Members = {} if uuid is None else {"uuid": uuid}

    async def set(self, record_id: str, data: Mapping[str, Any], *, version: int | None = None) -> StoredRecord:
        """Stores a record; with `version`, only in the place of that one (0 is none yet)."""
        request = {"action": "set", "id": record_id, "data": data, **self._who}
        if version is not None:
            request["version"] = version
        return await self._ask(StoredRecord, request, safe=version is not None)

    async def get(self, record_id: str) -> StoredRecord:
        """One record."""
        return await self._ask(StoredRecord, {"action": "get", "id": record_id, **self._who})

    async def delete(self, record_id: str, *, version: int | None = None) -> bool:
        """Removes a record; whether it was there."""
        request = {"action": "delete", "id": record_id, **self._who}
        if version is not None:
            request["version"] = version
        return bool((await self._ask_members(request, safe=False))["deleted"])

    async def list(self, prefix: str | None = None) -> AsyncGenerator[StoredRecord, None]:
        """Records in the order of their ids."""
        async for item in self._pages({"action": "list", "prefix": prefix}):
            yield msgspec.convert(item, StoredRecord)

    async def history(self, record_id: str) -> AsyncGenerator[Members, None]:
        """The entries of the audit log about changes of a record, newest first."""
        async for item in self._pages({"action": "history", "id": record_id}):
            yield item

    async def logs(self) -> AsyncGenerator[Members, None]:
        """The audit log, newest first."""
        async for item in self._pages({"action": "list_logs"}):
            yield item

    async def _pages(self, request: Members) -> AsyncGenerator[Members, None]:
        cursor: str | None = None
        while True:
            page = await self._ask_members({**request, **self._who, "cursor": cursor})
            for item in page["items"]:
                yield item
            cursor = page["cursor"]
            if cursor is None:
                return

    async def verify_log(self) -> Members:
        """Whether the audit log is whole; if not, `broken` is the first entry that is not as it was written."""
        return await self._ask_members({"action": "verify_log", **self._who})

    async def save_score(self, user_id: int, score: int) -> Score:
        """Counts a game of a user."""
        request = {"action": "save_score", "user_id": user_id, "puntaje": score, **self._who}
        return await self._ask(Score, request, safe=False)

    async def get_item(self, table: str, key: Members) -> StoredItem:
        """One item of another service's table."""
        return await self._ask(StoredItem, {"action": "get_item", "table": table, "key": key})

    async def get_items(self, table: str, keys: Sequence[Members]) -> Sequence[StoredItem]:
        """Items of another service's table, in the order of their keys: at most 1,000."""
        request = {"action": "get_items", "table": table, "keys": keys}
        page = await self._ask(ItemPage, request)
        found = list(page.items)
        while page.cursor is not None:
            page = await self._ask(ItemPage, {**request, "cursor": page.cursor})
            found += page.items
        return found

    async def put_item(self, table: str, item: Members, *, when: Condition | None = None) -> StoredItem:
        """Stores an item, where `when` holds."""
        request = {"action": "put_item", "table": table, "item": item, "when": when}
        return await self._ask(StoredItem, request, safe=False)

    async def update_item(
        self, table: str, key: Members, members: Members, *, when: Condition | None = None
    ) -> StoredItem:
        """Gives members of an item new values, where `when` holds."""
        request = {"action": "update_item", "table": table, "key": key, "set": members, "when": when}
        return await self._ask(StoredItem, request, safe=False)

    async def delete_item(self, table: str, key: Members, *, when: Condition | None = None) -> None:
        """Removes an item, where `when` holds."""
        await self._ask_members({"action": "delete_item", "table": table, "key": key, "when": when}, safe=False)

    async def transact(self, actions: Sequence[Action], *, safe: bool = False) -> Sequence[StoredItem]:
        """Does all of up to 100 actions or none: what each has left. `safe` says that twice does no harm."""
        return (await self._ask(_Items, {"action": "transact", "actions": actions}, safe=safe)).items

    async def batch(self, actions: Sequence[Action], *, safe: bool = False) -> Sequence[StoredItem | Refused]:
        """Does up to 100 actions that have nothing to do with each other: what each has left, or why it was refused."""
        members = await self._ask_members({"action": "batch", "actions": actions}, safe=safe)
        return [
            msgspec.convert(result, StoredItem) if result["success"] else Refused(result)
            for result in members["results"]
        ]

    async def changes(self, after: str | None, *, limit: int = 1000) -> ChangePage:
        """Changes of all services' items behind a position; None is from the oldest that are kept on."""
        return await self._ask(ChangePage, {"action": "changes", "after": after, "limit": limit})

    async def query(
        self,
        table: str,
        index: str | None = None,
        *,
        partition: Any = None,
        prefix: str | None = None,
        descending: bool = False,
        page_size: int = 100,
        cursor: str | None = None,
    ) -> ItemPage:
        """A page of the items that a table, or an index of it, has under `partition`, or of all that an index has."""
        request = {"action": "query", "table": table, "index": index, "partition": partition, "cursor": cursor}
        return await self._ask(ItemPage, {**request, "prefix": prefix, "descending": descending, "limit": page_size})

    async def health(self) -> Members:
        """How the server is."""
        return await self._ask_members({"action": "health"})

    async def ping(self) -> None:
        """Returns when the server answers."""
        await self._ask(Members, {"action": "ping"})

    async def watch(self, record_id: str | None = None, *, since: str | None = None) -> AsyncGenerator[Members, None]:
        """Changes of all records, or of one, over a connection of its own, until the server ends it.

        An event `position`, also the first of all, tells from where to go on: `since` is the last one seen.
        """
        request = {"action": "watch", "id": record_id, "since": since, **self._who}
        async with self._watching(request) as (connection, answer):
            yield {"event": "position", "position": answer["position"]}
            while (line := await connection.event()) is not None:
                yield _decode_event(line)

    async def observe(self, record_id: str | None = None, *, pause: float = 2.0) -> AsyncGenerator[Members, None]:
        """Changes for good: connects again `pause` seconds after a connection has ended, and misses nothing.

        Gives {"event": "lost"} and {"event": "connected"} in between. Raises Refused.
        """
        position: str | None = None
        seen: set[tuple[str, int, str]] = set()
        while True:
            reason, connected = "the server ended the connection", False
            try:
                async for event in self.watch(record_id, since=position):
                    if event["event"] == "position":
                        if not connected:
                            yield {"event": "connected", "host": self._host, "port": self._port}
                        if connected or position is None:
                            seen.clear()
                        connected, position = True, event["position"]
                        continue
                    if "version" in event:
                        # A connection that ends between positions is gone on with from the one before.
                        change = (event["id"], event["version"], event["event"])
                        if change in seen:
                            continue
                        seen.add(change)
                    yield event
            except (Unreachable, ConnectionLost) as error:
                reason = error.message
            yield {"event": "lost", "reason": reason, "retry_s": pause}
            await asyncio.sleep(pause)
