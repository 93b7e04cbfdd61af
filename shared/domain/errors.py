"""The one hierarchy of errors, and the codes under which they reach a client.

Every error is raised where the cause is known, says whose fault it is by its class, and is turned
into a reply in one place (`shared.wire.replies`). Driver errors are translated at the adapter's edge.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict


class Place(TypedDict):
    """A position in a document, counted from 1."""

    line: int
    column: int


class ComandaError(Exception):
    """Root of everything that Comanda raises on purpose.

    `message` says what is wrong, `hint` how to mend it; `field`, `line` and `column` say where;
    `example` is a valid document; `details` are further members of the reply.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
        example: Any = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.line = line
        self.column = column
        self.hint = hint
        self.example = example
        self.details = dict(details or {})


class StartupError(ComandaError):
    """The process cannot start; the message names the cause, the hint the cure. Exit status 2."""

    code = "startup"


class RequestError(ComandaError):
    """The caller's fault: the request itself has to change."""


class InvalidJson(RequestError):
    """The bytes are not one strict JSON document."""

    code = "invalid_json"


class InvalidParams(RequestError):
    """The document is JSON, but not a valid order or action."""

    code = "invalid_params"


class UnknownAction(RequestError):
    """No verb or action has this name."""

    code = "unknown_action"


class NotFound(RequestError):
    """Nothing is stored under this id."""

    code = "not_found"


class Conflict(RequestError):
    """What is stored contradicts the request."""

    code = "conflict"


class Gone(RequestError):
    """What lies behind this position is not kept any more."""

    code = "gone"


class Unauthorized(RequestError):
    """The caller has not shown that they may talk to this port."""

    code = "unauthorized"


class TooLarge(RequestError):
    """A document beyond the limit; the stream cannot be followed any further."""

    code = "too_large"


class Interrupted(RequestError):
    """The caller dropped the document it was typing."""

    code = "interrupted"


class Timeout(RequestError):
    """The caller stayed silent for too long."""

    code = "timeout"


class PreconditionFailed(RequestError):
    """What was to be changed has been changed by somebody else since."""

    code = "precondition_failed"


class CapacityError(ComandaError):
    """Nobody's fault: come back later."""


class QueueFull(CapacityError):
    """The bound on open orders is reached."""

    code = "queue_full"


class Unavailable(CapacityError):
    """The server is stopping, or has no room for another connection."""

    code = "unavailable"


class NotOffered(Unavailable):
    """This installation does not have it: coming back later does not help."""


def no_distributed_service() -> NotOffered:
    """Returns the error of whatever needs the distributed service where the store is DynamoDB."""
    return NotOffered(
        "statistics, notifications and events are not there with STORE=dynamodb",
        hint="they need STORE=sqlite; orders, tasks, scores and stock work as usual (README, More than one machine)",
    )


class RateLimited(CapacityError):
    """The caller has asked more often than is allowed."""

    code = "rate_limited"


class DeadlineExceeded(CapacityError):
    """Nobody waits for the answer any more, or none came in time."""

    code = "deadline_exceeded"


class StoreError(ComandaError):
    """Our fault: the store refused. Nothing of the request has been stored."""

    code = "db_error"
