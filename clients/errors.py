"""Errors of the clients."""

from collections.abc import Mapping
from typing import Any

from shared.domain.errors import ComandaError


class ClientError(ComandaError):
    """Base class of the clients' errors."""

    code = "client"


class WrongUsage(ClientError):
    """The arguments of a command are invalid. Exit status 2."""

    code = "usage"


class Unreachable(ClientError):
    """No address of the server accepts a connection. Nothing was sent."""

    code = "unreachable"


class ConnectionLost(ClientError):
    """The connection ended before the answer. The request may have taken effect."""

    code = "connection_lost"


class AnswerTimeout(ClientError):
    """The answer did not come in time. The request may take effect."""

    code = "answer_timeout"


class Refused(ClientError):
    """The server answered with an error; `reply` is the whole answer."""

    code = "refused"

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(
            str(reply.get("message", "the server refused")), field=reply.get("field"), hint=reply.get("hint")
        )
        self.reply = dict(reply)

    @property
    def error(self) -> str:
        """The error's code, from the table in `docs/PROTOCOL.md`."""
        return str(self.reply.get("error", "internal_error"))

    @property
    def action(self) -> int | None:
        """The index of the action that a condition refused, in an answer to `transact` or `batch`."""
        value = self.reply.get("action")
        return value if isinstance(value, int) else None

    @property
    def retry_after_ms(self) -> int | None:
        """Milliseconds until a retry makes sense, for `queue_full`; None for other errors."""
        value = self.reply.get("retry_after_ms")
        return value if isinstance(value, int) else None
