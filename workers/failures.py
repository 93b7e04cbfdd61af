"""What is kept of a handler's exception: its text, where it was raised, and a traceback without any local variables.

Everything is bounded, and known secrets of the process are masked: the text goes to the store, the log and clients.
"""

import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import NamedTuple

from workers.handlers import Reject

ERROR_CHARACTERS = 2000
TRACEBACK_BYTES = 4096
_FRAMES = 20
_CHAINED = 3
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PRIVATE|(?:^|_)KEY(?:$|_)")
_SHORTEST_SECRET = 8
_MASK = "[secret]"
# How a handler is called is of no interest to whoever wrote it.
_CALLERS = re.compile(r"workers[/\\](runner|preparing|handlers|attempt_traces)\.py$|[/\\](asyncio|concurrent)[/\\]")


class Verdict(NamedTuple):
    """How an attempt failed."""

    error: str
    final: bool
    """Whether another attempt is pointless."""
    place: str | None = None
    """Where the exception was raised, as `file:line function`; None for one that was never raised."""
    traceback: str | None = None


Describe = Callable[[BaseException], Verdict]


class FailureDescriber:
    """Describes exceptions; tracebacks have at most `traceback_bytes`, and none of `secrets` appears anywhere."""

    def __init__(self, traceback_bytes: int = TRACEBACK_BYTES, secrets: Iterable[str] = ()) -> None:
        self._bytes = traceback_bytes
        # The longest first: one secret may be a part of another.
        self._secrets = sorted({one for one in secrets if len(one) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._folder = os.getcwd() + os.sep

    def __call__(self, reason: BaseException) -> Verdict:
        """Returns the verdict about an exception."""
        final = isinstance(reason, Reject)
        message = _message(reason)
        text = (message or "rejected by the handler") if final else _summary(reason)
        error = self._clean(text)[:ERROR_CHARACTERS]
        frames = self._frames(reason.__traceback__)
        if not frames:
            return Verdict(error, final)
        shown = self._clean("".join(self._lines(reason, _CHAINED)))
        encoded = shown.encode()
        if len(encoded) > self._bytes:
            # The end tells most: the innermost frames and the error itself.
            shown = "…\n" + encoded[len(encoded) - self._bytes + 4 :].decode(errors="ignore")
        return Verdict(error, final, self._clean(_place(frames[-1])), shown)

    def _clean(self, text: str) -> str:
        """A text without secrets and without halves of characters."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text.encode("utf-8", "replace").decode()

    def _frames(self, trace: TracebackType | None) -> list[traceback.FrameSummary]:
        """The innermost frames of a traceback, from the first that is the handler's."""
        found = traceback.StackSummary.extract(traceback.walk_tb(trace), limit=-_FRAMES)
        own = next((place for place, frame in enumerate(found) if not _CALLERS.search(frame.filename)), 0)
        frames = found[own:]
        for frame in frames:
            frame.filename = frame.filename.removeprefix(self._folder)
        return frames

    def _lines(self, reason: BaseException, chained: int) -> Iterable[str]:
        """The text of a traceback, with what caused the exception before it."""
        cause = reason.__cause__ or (None if reason.__suppress_context__ else reason.__context__)
        if isinstance(reason, BaseExceptionGroup):
            cause = reason.exceptions[0]
        if cause is not None and chained:
            yield from self._lines(cause, chained - 1)
            yield "which led to:\n"
        for frame in self._frames(reason.__traceback__):
            yield f"  {_place(frame)}\n"
            if frame.line:
                yield f"    {frame.line}\n"
        yield f"{_summary(reason)[:ERROR_CHARACTERS]}\n"


def known_secrets(environ: Mapping[str, str], *others: str | None) -> list[str]:
    """Returns the values of the environment that are secret by their name, and the others that are there."""
    named = [value for name, value in environ.items() if _SECRET_NAME.search(name.upper())]
    return [*named, *(one for one in others if one)]


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}:{frame.lineno} {frame.name}"


def _summary(reason: BaseException) -> str:
    """The type and the message of an exception; of one without a message, as from a bare `assert`, the type."""
    message = _message(reason)
    return f"{type(reason).__name__}: {message}" if message else type(reason).__name__


def _message(reason: BaseException) -> str:
    try:
        return str(reason)
    except Exception as error:
        # An exception whose own text fails must not take the worker along.
        return f"<no text: {type(error).__name__}>"
