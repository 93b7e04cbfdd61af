"""The context of the request that a task serves: its trace, deadline and user, which clients add to their requests."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace


class RequestContext(NamedTuple):
    """The trace that names a request in all servers' logs, and its deadline by `clock`, the event loop's."""

    trace: str
    deadline: float
    clock: Callable[[], float]

    def add_to_document(self, document: Any) -> Any:
        """Returns a copy of a document, or of an array of documents, with `trace` and `deadline_ms`."""
        left = max(int((self.deadline - self.clock()) * 1000), 1)
        if isinstance(document, Struct):
            return replace(document, trace=self.trace, deadline_ms=left)
        if isinstance(document, list):
            return [{**member, "trace": self.trace, "deadline_ms": left} for member in document]
        return {**document, "trace": self.trace, "deadline_ms": left}


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)
_user: ContextVar[str | None] = ContextVar("request_user", default=None)


def get_request_context() -> RequestContext | None:
    """Returns the context of the running task, or None."""
    return _current.get()


def set_request_context(context: RequestContext) -> None:
    """Sets the context of all later requests of the running task."""
    _current.set(context)


def set_request_user(user: str) -> None:
    """Sets the name under which the audit logs of the servers record what the running task changes from now on."""
    _user.set(user)


def add_request_user(document: Any) -> Any:
    """Returns a copy of a document that has an action, with its `user` if there is one; other documents unchanged."""
    user = _user.get()
    if user is None or not isinstance(document, dict) or "action" not in document:
        return document
    return {**document, "user": user}
