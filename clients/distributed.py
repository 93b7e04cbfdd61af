"""The asyncio client of the distributed service: statistics, notifications, events.

    async with DistributedClient("localhost", 7000) as client:
        stats = await client.get_user_stats(1)
        async for event in client.observe(["orders", "scores"]):
            print(event)

Any number of tasks may share a client. Requests that only read are sent again after a lost answer.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import msgspec

from clients.access import OPEN, Access
from clients.base_client import BaseClient
from clients.errors import ConnectionLost, Unreachable
from clients.replies import Members
from shared.wire.replies import encode_json


class DistributedClient(BaseClient):
    """A client of one distributed service. See `BaseClient` for the arguments and the errors of all methods."""

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
        """Returns the scores and the rank of a user."""
        return await self._request_stats({"action": "get_user_stats", "user_id": user_id})

    async def get_global_stats(self) -> Members:
        """Returns the statistics of all users and all orders."""
        return await self._request_stats({"action": "get_global_stats"})

    async def _request_stats(self, request: Members) -> Members:
        stats: Members = (await self._request_members(request))["stats"]
        return stats

    async def add_notification(self, user_id: int, message: str, kind: str = "info") -> int:
        """Adds a notification for a user and returns its id. `kind` is info, success, warning or error."""
        request = {"action": "add_notification", "user_id": user_id, "message": message, "type": kind}
        return int((await self._request_members(request, safe=False))["id"])

    async def notifications(self, user_id: int, *, unread: bool = False) -> AsyncGenerator[Members, None]:
        """Yields the notifications of a user, newest first."""
        cursor: int | None = None
        while True:
            page = await self.get_notification_page(user_id, unread=unread, cursor=cursor)
            for item in page["notifications"]:
                yield item
            cursor = page["cursor"]
            if cursor is None:
                return

    async def get_notification_page(
        self,
        user_id: int | None = None,
        *,
        unread: bool = False,
        page_size: int | None = None,
        order: Literal["newest", "oldest"] | None = None,
        cursor: int | None = None,
    ) -> Members:
        """Returns a page of the newest notifications of a user, or of all users.

        It has `notifications`, `cursor`, and `no_leidas`, the number of the user's unread ones. `order` is their
        order; None is newest first for a user and oldest first for all users.
        """
        request = {"action": "get_notifications", "user_id": user_id, "unread": unread, "cursor": cursor}
        return await self._request_members({**request, "limit": page_size, "order": order})

    async def mark_read(self, user_id: int, ids: Sequence[int] | None = None) -> int:
        """Marks notifications of a user as read, all if `ids` is None; returns the number of those that were unread."""
        return int((await self._request_members({"action": "mark_read", "user_id": user_id, "ids": ids}))["marcadas"])

    async def health(self) -> Members:
        """Returns the health of the service and the position of its relay."""
        return await self._request_members({"action": "health"})

    async def ping(self) -> None:
        """Returns when the service answers."""
        await self._request_reply(Members, {"action": "ping"})

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
        """Yields events over a separate connection until the service closes it, from the event after `since` on.

        `events` selects events by their names. The first event, `subscribed`, has the `seq` after which they begin.
        A `gap` has the numbers of the events that were left out.
        """
        lines = self.subscribe_lines(
            topics, events=events, customer=customer, order=order, user_id=user_id, since=since
        )
        async for line in lines:
            yield msgspec.json.decode(line)

    async def subscribe_lines(
        self,
        topics: Sequence[str],
        *,
        events: Sequence[str] | None = None,
        customer: str | None = None,
        order: str | None = None,
        user_id: int | None = None,
        since: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yields the events of `subscribe` as undecoded lines of JSON."""
        request = {"action": "subscribe", "topics": list(topics), "since": since}
        request |= {"cliente": customer, "id": order, "user_id": user_id}
        if events is not None:
            request["events"] = list(events)
        async with self._open_subscription(request) as (connection, answer):
            yield encode_json({"event": "subscribed", "seq": answer["since"]})
            while (line := await connection.next_event()) is not None:
                yield line

    async def observe(
        self, topics: Sequence[str], *, since: int | None = None, pause: float = 2.0, **selection: Any
    ) -> AsyncGenerator[Members, None]:
        """Yields events without end and without gaps: reconnects `pause` seconds after the end of a connection.

        Yields {"event": "lost"} and {"event": "connected"} in between. Raises Refused.
        """
        while True:
            reason = "the service ended the connection"
            try:
                async for event in self.subscribe(topics, since=since, **selection):
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
