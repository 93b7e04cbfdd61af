"""Clients for programs that ask now and then, and go on whatever becomes of it: nothing here raises.

    client = DistributedServiceClient()
    ok, reply = client.get_user_stats(user_id=1)

Every call gives whether it went well, and the server's answer; where there is none, one in the same form
says why. The event loop runs during calls only, so this is for one thread, and not for one that runs a loop.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from clients.access import OPEN, Access
from clients.base_client import BaseClient
from clients.distributed import DistributedClient
from clients.errors import ClientError, Refused
from clients.persistence import PersistenceClient
from clients.replies import Members
from shared.wire.replies import failure

Outcome = tuple[bool, Members]


class _ServiceClient:
    """One call at a time over a connection that is kept."""

    def __init__(self, client: BaseClient) -> None:
        self._runner = asyncio.Runner()
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and the event loop."""
        self._client.close()
        self._runner.close()

    def ping(self) -> Outcome:
        """Whether the service answers."""
        return self._ask({"action": "ping"})

    def _ask(self, request: Members, *, safe: bool = True) -> Outcome:
        try:
            reply: Any = self._runner.run(self._client.request(request, safe=safe))
        except Refused as error:
            return False, error.reply
        except ClientError as error:
            return False, failure(error)
        return bool(reply["success"]), reply


class DistributedServiceClient(_ServiceClient):
    """Statistics and notifications; `timeout` is how long an answer may take, in seconds."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 7000,
        access: Access = OPEN,
        *,
        timeout: float = 5.0,
    ) -> None:
        super().__init__(DistributedClient(host, port, access, timeout=timeout))

    def get_user_stats(self, user_id: int) -> Outcome:
        """One user's scores and rank, under `stats`."""
        return self._ask({"action": "get_user_stats", "user_id": user_id})

    def get_global_stats(self) -> Outcome:
        """All users and all orders, under `stats`."""
        return self._ask({"action": "get_global_stats"})

    def add_notification(self, user_id: int, message: str, notif_type: str = "info") -> Outcome:
        """Tells a user something: info, success, warning or error."""
        request = {"action": "add_notification", "user_id": user_id, "message": message, "type": notif_type}
        return self._ask(request, safe=False)

    def get_notifications(self, user_id: int | None = None, *, unread: bool = False) -> Outcome:
        """The last notifications of a user, or of everybody, under `notifications`, oldest first."""
        request = {"action": "get_notifications", "user_id": user_id, "unread": unread, "order": "oldest"}
        return self._ask(request)

    def mark_read(self, user_id: int, ids: list[int] | None = None) -> Outcome:
        """Marks some of a user's notifications as read, or all."""
        return self._ask({"action": "mark_read", "user_id": user_id, "ids": ids})


class PersistenceServiceClient(_ServiceClient):
    """Scores; `timeout` is how long an answer may take, in seconds."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6000,
        access: Access = OPEN,
        *,
        timeout: float = 5.0,
    ) -> None:
        super().__init__(PersistenceClient(host, port, access, timeout=timeout))

    def save_score_via_tcp(self, user_id: int, puntaje: int) -> Outcome:
        """Counts a game of a user: `nuevo_record` and `puntaje_maximo`."""
        return self._ask({"action": "save_score", "user_id": user_id, "puntaje": puntaje}, safe=False)
