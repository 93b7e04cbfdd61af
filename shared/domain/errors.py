"""The error hierarchy, and the error codes of replies.

Code raises an error where the cause is known; the class tells whether the request, the load or the server caused
it. `shared.wire.replies` converts errors to replies. Adapters translate the errors of their drivers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict


class DocumentPosition(TypedDict):
    """A position in a document, counted from 1."""

    line: int
    column: int


class ErrorReason:
    """The precise reason of an error, for programs that show it in the language of their user.

    The codes and the names of their values are those of docs/PROTOCOL.md, "Codes of errors".
    """

    __slots__ = ("code", "params")

    def __init__(self, code: str, **params: Any) -> None:
        self.code = code
        self.params = params


class ComandaError(Exception):
    """Base class of all errors that Comanda raises.

    `message` describes the cause, `hint` the fix; `field`, `line` and `column` are the position;
    `reason` is the cause for programs; `example` is a valid document; `details` are further members of the reply.
    `faults` are the errors of all members of a document that has more than one.
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
        reason: ErrorReason | None = None,
        example: Any = None,
        details: Mapping[str, Any] | None = None,
        faults: Sequence["ComandaError"] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.line = line
        self.column = column
        self.hint = hint
        self.reason = reason
        self.example = example
        self.details = dict(details or {})
        self.faults: Sequence[ComandaError] = faults


class StartupError(ComandaError):
    """The process cannot start; the message names the cause, the hint the fix. Exit status 2."""

    code = "startup"


class RequestError(ComandaError):
    """An error of the request: it has to be changed before it is sent again."""


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
    """The stored data contradicts the request."""

    code = "conflict"
    action: int | None = None
    """The index of the refused action in its transaction, if a store has refused one."""


class Gone(RequestError):
    """The data after this position is no longer kept."""

    code = "gone"


class Unauthorized(RequestError):
    """The caller is not authenticated for this port."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The caller is known, and may not do this; or a page of another site sends the request."""

    code = "forbidden"


class TooLarge(RequestError):
    """A document exceeds the limit; the rest of the stream cannot be parsed."""

    code = "too_large"


class Interrupted(RequestError):
    """The caller dropped the document it was typing."""

    code = "interrupted"


class Timeout(RequestError):
    """The caller was silent for too long."""

    code = "timeout"


class PreconditionFailed(RequestError):
    """Another client has changed the data since it was read."""

    code = "precondition_failed"


class CapacityError(ComandaError):
    """A temporary condition: the caller can try again later."""


class QueueFull(CapacityError):
    """The limit of open orders is reached."""

    code = "queue_full"


class Unavailable(CapacityError):
    """The server is stopping, or has no room for another connection."""

    code = "unavailable"


class NotOffered(Unavailable):
    """This installation does not have the feature; trying again does not help."""


def no_distributed_service() -> NotOffered:
    """Returns the error for features of the distributed service when the store is DynamoDB."""
    return NotOffered(
        "statistics, notifications and events are not there with STORE=dynamodb",
        hint="they need STORE=sqlite; orders, tasks, scores and stock work as usual (README, More than one machine)",
    )


class RateLimited(CapacityError):
    """The caller exceeded the rate limit."""

    code = "rate_limited"


class DeadlineExceeded(CapacityError):
    """The caller no longer waits for the reply, or no reply came in time."""

    code = "deadline_exceeded"


class StoreError(ComandaError):
    """An error of the server: the store refused. Nothing of the request has been stored."""

    code = "db_error"


class IndexMissing(Unavailable):
    """The search index of a tenant is missing, damaged, or of another version, and is being built."""


class IndexBehind(Unavailable):
    """The search index of a tenant cannot store changes, as its disk is full or fails; it answers with older data."""
