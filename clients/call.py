"""What goes along with every request of a task: whose request it serves, and how long anybody waits for it.

A server that passes on a request says it once; every client that it uses for that passes it on.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace


class Call(NamedTuple):
    """`trace` names the request in the logs of every server; `deadline` is by `clock`, that of the event loop."""

    trace: str
    deadline: float
    clock: Callable[[], float]

    def marked(self, document: Any) -> Any:
        """A document, or an array of them, with what the server is to know of this."""
        left = max(int((self.deadline - self.clock()) * 1000), 1)
        if isinstance(document, Struct):
            return replace(document, trace=self.trace, deadline_ms=left)
        if isinstance(document, list):
            return [{**member, "trace": self.trace, "deadline_ms": left} for member in document]
        return {**document, "trace": self.trace, "deadline_ms": left}


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """What the running task serves, if it was said."""
    return _current.get()


def serve(call: Call) -> None:
    """From here on, the requests of the running task belong to `call`."""
    _current.set(call)
