"""Blocking clients that return errors instead of raising them.

    client = DistributedServiceClient()
    ok, reply = client.get_user_stats(user_id=1)

Each call returns whether it succeeded, and the server's answer. Without one, the reply has the form of an error answer.
A client's event loop runs only during calls. So a client belongs to one thread, which may not run another loop.
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
from shared.wire.replies import error_reply

Outcome = tuple[bool, Members]


class _ServiceClient:
    """Blocking calls over one connection, which stays open between them."""

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
        """Closes the connection and the event loop."""
        self._client.close()
        self._runner.close()

    def ping(self) -> Outcome:
        """Sends a ping."""
        return self._send_request({"action": "ping"})

    def _send_request(self, request: Members, *, safe: bool = True) -> Outcome:
        try:
            reply: Any = self._runner.run(self._client.request(request, safe=safe))
        except Refused as error:
            return False, error.reply
        except ClientError as error:
            return False, error_reply(error)
        return bool(reply["success"]), reply


class DistributedServiceClient(_ServiceClient):
    """A client for statistics and notifications; `timeout` limits the time until an answer, in seconds."""

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
        """Requests a user's scores and rank: `stats` of the reply."""
        return self._send_request({"action": "get_user_stats", "user_id": user_id})

    def get_global_stats(self) -> Outcome:
        """Requests the statistics of all users and all orders: `stats` of the reply."""
        return self._send_request({"action": "get_global_stats"})

    def add_notification(self, user_id: int, message: str, notif_type: str = "info") -> Outcome:
        """Adds a notification for a user; `notif_type` is info, success, warning or error."""
        request = {"action": "add_notification", "user_id": user_id, "message": message, "type": notif_type}
        return self._send_request(request, safe=False)

    def get_notifications(self, user_id: int | None = None, *, unread: bool = False) -> Outcome:
        """Requests the newest notifications of a user, or of all users: `notifications`, oldest first."""
        request = {"action": "get_notifications", "user_id": user_id, "unread": unread, "order": "oldest"}
        return self._send_request(request)

    def mark_read(self, user_id: int, ids: list[int] | None = None) -> Outcome:
        """Marks notifications of a user as read, all if `ids` is None."""
        return self._send_request({"action": "mark_read", "user_id": user_id, "ids": ids})


class PersistenceServiceClient(_ServiceClient):
    """A client for scores; `timeout` limits the time until an answer, in seconds."""

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
        """Records the score of a user's game: `nuevo_record` and `puntaje_maximo` of the reply."""
        return self._send_request({"action": "save_score", "user_id": user_id, "puntaje": puntaje}, safe=False)
