"""The asyncio client of the distributed service: statistics, notifications, events.

    async with DistributedClient("localhost", 7000) as client:
        stats = await client.get_user_stats(1)
        async for event in client.observe(["orders", "scores"]):
            print(event)

Any number of tasks may use one client at a time. What only reads is sent again when its answer was lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import msgspec

from clients.access import OPEN, Access
from clients.base_client import BaseClient
from clients.errors import ConnectionLost, Unreachable
from clients.replies import Members
from shared.wire.replies import encode


class DistributedClient(BaseClient):
    """A client of one distributed service. See `BaseClient` for arguments and what methods raise."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 7000,
        access: Access = OPEN,
        *,
        timeout: float = 10.0,
        patience: float | None = None,
    ) -> None:
        super().__init__(host, port, access, timeout=timeout, greeted=False, patience=patience)

    async def get_user_stats(self, user_id: int) -> Members:
        """One user's scores and rank."""
        return await self._stats({"action": "get_user_stats", "user_id": user_id})

    async def get_global_stats(self) -> Members:
        """All users and all orders."""
        return await self._stats({"action": "get_global_stats"})

    async def _stats(self, request: Members) -> Members:
        stats: Members = (await self._ask_members(request))["stats"]
        return stats

    async def add_notification(self, user_id: int, message: str, kind: str = "info") -> int:
        """Tells a user something: the notification's id. `kind` is info, success, warning or error."""
        request = {"action": "add_notification", "user_id": user_id, "message": message, "type": kind}
        return int((await self._ask_members(request, safe=False))["id"])

    async def notifications(self, user_id: int, *, unread: bool = False) -> AsyncGenerator[Members, None]:
        """What a user was told, newest first."""
        cursor: int | None = None
        while True:
            page = await self.notification_page(user_id, unread=unread, cursor=cursor)
            for item in page["notifications"]:
                yield item
            cursor = page["cursor"]
            if cursor is None:
                return

    async def notification_page(
        self,
        user_id: int | None = None,
        *,
        unread: bool = False,
        page_size: int | None = None,
        order: Literal["newest", "oldest"] | None = None,
        cursor: int | None = None,
    ) -> Members:
        """Returns a page of the last notifications of a user, or of everybody.

        It has `notifications`, `cursor`, and `no_leidas`: how many the user has not read. `order` says which comes
        first, if None the newest of a user and the oldest of everybody.
        """
        request = {"action": "get_notifications", "user_id": user_id, "unread": unread, "cursor": cursor}
        return await self._ask_members({**request, "limit": page_size, "order": order})

    async def mark_read(self, user_id: int, ids: Sequence[int] | None = None) -> int:
        """Marks some of a user's notifications as read, or all: how many were not."""
        return int((await self._ask_members({"action": "mark_read", "user_id": user_id, "ids": ids}))["marcadas"])

    async def health(self) -> Members:
        """How the service is, and how far it has read."""
        return await self._ask_members({"action": "health"})

    async def ping(self) -> None:
        """Returns when the service answers."""
        await self._ask(Members, {"action": "ping"})

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        events: Sequence[str] | None = None,
        customer: str | None = None,
        order: str | None = None,
        user_id: int | None = None,
        since: int | None = None,
    ) -> AsyncGenerator[Members, None]:
        """Events over a connection of its own, until the service ends it; `since` is the last one known.

        With `events` those of these names alone. The first of all, `subscribed`, has the `seq` behind which they
        begin. A `gap` says what was left out.
        """
        lines = self.lines(topics, events=events, customer=customer, order=order, user_id=user_id, since=since)
        async for line in lines:
            yield msgspec.json.decode(line)

    async def lines(
        self,
        topics: Sequence[str],
        *,
        events: Sequence[str] | None = None,
        customer: str | None = None,
        order: str | None = None,
        user_id: int | None = None,
        since: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """What `subscribe` gives, each event as its line of JSON."""
        request = {"action": "subscribe", "topics": list(topics), "since": since}
        request |= {"cliente": customer, "id": order, "user_id": user_id}
        if events is not None:
            request["events"] = list(events)
        async with self._watching(request) as (connection, answer):
            yield encode({"event": "subscribed", "seq": answer["since"]})
            while (line := await connection.event()) is not None:
                yield line

    async def observe(
        self, topics: Sequence[str], *, since: int | None = None, pause: float = 2.0, **choice: Any
    ) -> AsyncGenerator[Members, None]:
        """Events for good: connects again `pause` seconds after a connection has ended, and misses nothing.

        Gives {"event": "lost"} and {"event": "connected"} in between. Raises Refused.
        """
        while True:
            reason = "the service ended the connection"
            try:
                async for event in self.subscribe(topics, since=since, **choice):
                    if event["event"] == "subscribed":
                        since = event["seq"]
                        yield {"event": "connected", "host": self._host, "port": self._port}
                        continue
                    since = event.get("seq", since)
                    yield event
            except (Unreachable, ConnectionLost) as error:
                reason = error.message
            yield {"event": "lost", "reason": reason, "retry_s": pause}
            await asyncio.sleep(pause)
