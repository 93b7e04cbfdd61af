"""What can go wrong for a client."""

from collections.abc import Mapping
from typing import Any

from shared.domain.errors import ComandaError


class ClientError(ComandaError):
    """Root of the clients' errors."""

    code = "client"


class WrongUsage(ClientError):
    """A command was given what it cannot work with. Exit status 2."""

    code = "usage"


class Unreachable(ClientError):
    """No address of the server could be connected to. Nothing was sent."""

    code = "unreachable"


class ConnectionLost(ClientError):
    """The connection ended before the answer came: whether the request took effect is unknown."""

    code = "connection_lost"


class AnswerTimeout(ClientError):
    """No answer came in time: whether the request takes effect is unknown."""

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
        """The protocol's code, as in `docs/PROTOCOL.md`."""
        return str(self.reply.get("error", "internal_error"))

    @property
    def retry_after_ms(self) -> int | None:
        """When to come back, for `queue_full`."""
        value = self.reply.get("retry_after_ms")
        return value if isinstance(value, int) else None
