"""The request that a task serves, and its deadline: they go along with every request that the task sends.

A server that passes on a request sets its context once; every client that it uses for it sends the context along.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace


class RequestContext(NamedTuple):
    """`trace` names the request in the logs of every server; `deadline` is by `clock`, the event loop's."""

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


def get_request_context() -> RequestContext | None:
    """Returns the context of the running task, or None."""
    return _current.get()


def set_request_context(context: RequestContext) -> None:
    """Sets the context of all further requests of the running task."""
    _current.set(context)
