"""What goes along with every request of a task: whose request it serves, and how long anybody waits for it.

A server that passes on a request sets it once; every client used below passes it on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Call(NamedTuple):
    """`trace` names the request in the logs of every server; `deadline` is by the loop's clock."""

    trace: str
    deadline: float

    def marked(self, document: Any) -> Any:
        """A document, or an array of them, with what the server is to know of this."""
        if isinstance(document, list):
            return [self.marked(member) for member in document]
        left = max(int((self.deadline - asyncio.get_running_loop().time()) * 1000), 1)
        return {**document, "trace": self.trace, "deadline_ms": left}


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """What the running task serves, if it was said."""
    return _current.get()


@contextmanager
def serving(call: Call) -> Iterator[None]:
    """Requests made inside belong to `call`."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)
