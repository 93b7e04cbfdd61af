"""The asyncio client of the persistence server.

    async with PersistenceClient("localhost", 6000) as client:
        await client.set("X", {"cp": "3260"})
        record = await client.get("X")

Any number of tasks may share a client. Requests that only read are sent again after a lost answer.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

import msgspec
from msgspec import Struct

from clients.access import OPEN, Access
from clients.base_client import BaseClient
from clients.errors import ConnectionLost, Refused, Unreachable
from clients.replies import Members, read_answer
from shared.domain.records import Action, Condition
from shared.domain.tenants import MAIN, check_tenant_name

_decode_event = msgspec.json.Decoder(Members, float_hook=Decimal).decode


class StoredRecord(Struct, frozen=True):
    """A corporate record; each change increments its `version`."""

    id: str
    version: int
    data: Members


class StoredItem(Struct, frozen=True):
    """An item of another service's table, or None if there is none; each change increments its `version`."""

    item: Members | None
    version: int


class ItemPage(Struct, frozen=True):
    """Answer to `query` and `get_items`; `cursor` leads to the next page."""

    items: list[StoredItem]
    cursor: str | None


class _Items(Struct, frozen=True):
    """Answer to `transact`."""

    items: list[StoredItem] = []


class StoredChange(Struct, frozen=True):
    """One change of one item: the item before and after it; None before an insertion and after a removal."""

    tenant: str
    table: str
    at: str
    old: StoredItem | None
    new: StoredItem | None


class ChangePage(Struct, frozen=True):
    """Answer to `changes`; `position` is that after the last change."""

    changes: list[StoredChange]
    position: str


class Score(Struct, frozen=True, rename={"record": "nuevo_record", "best": "puntaje_maximo"}):
    """Answer to `save_score`: whether the score is the user's record, and the user's best score."""

    record: bool
    best: int


class PersistenceClient(BaseClient):
    """A client of one persistence server; the audit log names it by its `uuid`.

    See `BaseClient` for `timeout`, `patience` and the errors of all methods.
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
        self._identity: Members = {} if uuid is None else {"uuid": uuid}
        # The server's default is left out of requests.
        self._tenant: Members = {}

    def of(self, tenant: str) -> Self:
        """Returns a view of this client for the items of a tenant, over the same connection.

        Actions on items and queries are the tenant's; corporate data, the audit log and scores stay those of `main`.
        To close a view is to close the client. Raises InvalidParams for an invalid name.
        """
        if check_tenant_name(tenant) == self._tenant.get("tenant", MAIN):
            return self
        # `copy.copy` takes twice as long, and views are made for each request.
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._tenant = {} if tenant == MAIN else {"tenant": tenant}
        return view

    async def set(self, record_id: str, data: Mapping[str, Any], *, version: int | None = None) -> StoredRecord:
        """Stores a record; with `version`, only if that is the stored version (0: there is no record)."""
        request = {"action": "set", "id": record_id, "data": data, **self._identity}
        if version is not None:
            request["version"] = version
        return await self._request_reply(StoredRecord, request, safe=version is not None)

    async def get(self, record_id: str) -> StoredRecord:
        """Returns one record."""
        return await self._request_reply(StoredRecord, {"action": "get", "id": record_id, **self._identity})

    async def delete(self, record_id: str, *, version: int | None = None) -> bool:
        """Removes a record. Returns False if there was none."""
        request = {"action": "delete", "id": record_id, **self._identity}
        if version is not None:
            request["version"] = version
        return bool((await self._request_members(request, safe=False))["deleted"])

    async def list(self, prefix: str | None = None) -> AsyncGenerator[StoredRecord, None]:
        """Yields records in the order of their ids."""
        async for item in self._iterate_entries({"action": "list", "prefix": prefix}):
            yield msgspec.convert(item, StoredRecord)

    async def history(self, record_id: str) -> AsyncGenerator[Members, None]:
        """Yields the audit log's entries about a record, newest first."""
        async for item in self._iterate_entries({"action": "history", "id": record_id}):
            yield item

    async def logs(self) -> AsyncGenerator[Members, None]:
        """Yields the audit log's entries, newest first."""
        async for item in self._iterate_entries({"action": "list_logs"}):
            yield item

    async def _iterate_entries(self, request: Members) -> AsyncGenerator[Members, None]:
        cursor: str | None = None
        while True:
            page = await self._request_members({**request, **self._identity, "cursor": cursor})
            for item in page["items"]:
                yield item
            cursor = page["cursor"]
            if cursor is None:
                return

    async def verify_log(self) -> Members:
        """Returns `valid`, whether the audit log is intact; if not, `broken` is the first entry that was altered."""
        return await self._request_members({"action": "verify_log", **self._identity})

    async def save_score(self, user_id: int, score: int) -> Score:
        """Records the score of a user's game."""
        request = {"action": "save_score", "user_id": user_id, "puntaje": score, **self._identity}
        return await self._request_reply(Score, request, safe=False)

    async def get_item(self, table: str, key: Members) -> StoredItem:
        """Returns one item of another service's table."""
        return await self._request_reply(StoredItem, {"action": "get_item", "table": table, "key": key, **self._tenant})

    async def get_pair(self, first: tuple[str, Members], second: tuple[str, Members]) -> tuple[StoredItem, StoredItem]:
        """Returns two items of different tables, each named by its table and key, in the time of one."""
        requests = [
            {"action": "get_item", "table": table, "key": key, **self._tenant} for table, key in (first, second)
        ]
        lines = await self._send_documents(requests, safe=True)
        one, other = (read_answer(StoredItem, line, exact=self._exact) for line in lines)
        return one, other

    async def get_items(self, table: str, keys: Sequence[Members]) -> Sequence[StoredItem]:
        """Returns up to 1,000 items of another service's table, in the order of their keys."""
        request = {"action": "get_items", "table": table, "keys": keys, **self._tenant}
        page = await self._request_reply(ItemPage, request)
        found = list(page.items)
        while page.cursor is not None:
            page = await self._request_reply(ItemPage, {**request, "cursor": page.cursor})
            found += page.items
        return found

    async def put_item(self, table: str, item: Members, *, when: Condition | None = None) -> StoredItem:
        """Stores an item if `when` holds."""
        request = {"action": "put_item", "table": table, "item": item, **_state_condition(when), **self._tenant}
        return await self._request_reply(StoredItem, request, safe=False)

    async def update_item(
        self, table: str, key: Members, members: Members, *, when: Condition | None = None
    ) -> StoredItem:
        """Sets members of an item if `when` holds."""
        request = {"action": "update_item", "table": table, "key": key, "set": members, **_state_condition(when)}
        return await self._request_reply(StoredItem, request | self._tenant, safe=False)

    async def delete_item(self, table: str, key: Members, *, when: Condition | None = None) -> None:
        """Removes an item if `when` holds."""
        request = {"action": "delete_item", "table": table, "key": key, **_state_condition(when), **self._tenant}
        await self._request_members(request, safe=False)

    async def transact(
        self, actions: Sequence[Action], *, safe: bool = False, items: bool = True
    ) -> Sequence[StoredItem]:
        """Performs up to 100 actions in one transaction; returns the item that each has left.

        With `safe`, the actions are idempotent, and are sent again after a lost answer. Without `items` it returns
        none, and items that many clients change at once need not be read.
        """
        request: dict[str, Any] = {"action": "transact", "actions": actions, **self._tenant}
        if not items:
            request["items"] = False
        return (await self._request_reply(_Items, request, safe=safe)).items

    async def batch(self, actions: Sequence[Action], *, safe: bool = False) -> Sequence[StoredItem | Refused]:
        """Performs up to 100 independent actions; returns the item that each has left, or its error.

        With `safe`, the actions are idempotent, and are sent again after a lost answer.
        """
        members = await self._request_members({"action": "batch", "actions": actions, **self._tenant}, safe=safe)
        return [
            msgspec.convert(result, StoredItem) if result["success"] else Refused(result)
            for result in members["results"]
        ]

    async def changes(
        self, after: str | None, *, tenant: str | msgspec.UnsetType | None = msgspec.UNSET, limit: int = 1000
    ) -> ChangePage:
        """Returns changes of items after a position; None begins at the oldest change that is kept.

        They are changes of this client's tenant, of another `tenant`, or of all tenants if it is None. A page may have
        fewer changes than there are: the end is a page whose position is the one before.
        """
        request = {"action": "changes", "after": after, "limit": limit, **self._tenant}
        if tenant is not msgspec.UNSET:
            request["tenant"] = None if tenant is None else check_tenant_name(tenant)
        return await self._request_reply(ChangePage, request)

    async def query(
        self,
        table: str,
        index: str | None = None,
        *,
        partition: Any = None,
        prefix: str | None = None,
        low: Any = None,
        high: Any = None,
        descending: bool = False,
        page_size: int = 100,
        cursor: str | None = None,
    ) -> ItemPage:
        """Returns a page of items of a table or its index: those in `partition`, or all of the index.

        `low` and `high` are inclusive bounds of the sort key; `prefix` applies to sort keys that are text.
        """
        request = {"action": "query", "table": table, "index": index, "partition": partition, "cursor": cursor}
        if low is not None:
            request["low"] = low
        if high is not None:
            request["high"] = high
        return await self._request_reply(
            ItemPage, {**request, "prefix": prefix, "descending": descending, "limit": page_size, **self._tenant}
        )

    async def iterate_pages(
        self, table: str, index: str | None = None, *, partition: Any = None, page_size: int = 100
    ) -> AsyncGenerator[ItemPage, None]:
        """Yields all pages of items of a table or its index, as `query` returns them."""
        cursor: str | None = None
        while True:
            page = await self.query(table, index, partition=partition, page_size=page_size, cursor=cursor)
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    async def health(self) -> Members:
        """Returns the health of the server."""
        return await self._request_members({"action": "health"})

    async def ping(self) -> None:
        """Returns when the server answers."""
        await self._request_reply(Members, {"action": "ping"})

    async def watch(self, record_id: str | None = None, *, since: str | None = None) -> AsyncGenerator[Members, None]:
        """Yields changes of all records, or of one, over a separate connection until the server closes it.

        The first event is a `position`, and others follow. The last one is `since` of the next connection.
        """
        request = {"action": "watch", "id": record_id, "since": since, **self._identity}
        async with self._open_subscription(request) as (connection, answer):
            yield {"event": "position", "position": answer["position"]}
            while (line := await connection.next_event()) is not None:
                yield _decode_event(line)

    async def observe(self, record_id: str | None = None, *, pause: float = 2.0) -> AsyncGenerator[Members, None]:
        """Yields changes without end and without gaps: reconnects `pause` seconds after the end of a connection.

        Yields {"event": "lost"} and {"event": "connected"} in between. Raises Refused.
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
                        # A new connection starts at the last position, so changes after it come a second time.
                        change = (event["id"], event["version"], event["event"])
                        if change in seen:
                            continue
                        seen.add(change)
                    yield event
            except (Unreachable, ConnectionLost) as error:
                reason = error.message
            yield {"event": "lost", "reason": reason, "retry_s": pause}
            await asyncio.sleep(pause)


def _state_condition(when: Condition | None) -> Members:
    # The server parses requests without members that say nothing in blocks.
    return {} if when is None else {"when": when}
