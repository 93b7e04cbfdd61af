"""Descriptions of handler exceptions: message, place, and a traceback without local variables.

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
    """The failure of an attempt."""

    error: str
    final: bool
    """Whether another attempt is pointless."""
    place: str | None = None
    """Place of the exception, as `file:line function`; None for one that was never raised."""
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
        message = _error_message(reason)
        text = (message or "rejected by the handler") if final else _summarize_error(reason)
        error = self._clean_text(text)[:ERROR_CHARACTERS]
        frames = self._handler_frames(reason.__traceback__)
        if not frames:
            return Verdict(error, final)
        shown = self._clean_text("".join(self._format_lines(reason, _CHAINED)))
        encoded = shown.encode()
        if len(encoded) > self._bytes:
            # The end tells most: the innermost frames and the error itself.
            shown = "…\n" + encoded[len(encoded) - self._bytes + 4 :].decode(errors="ignore")
        return Verdict(error, final, self._clean_text(_format_place(frames[-1])), shown)

    def _clean_text(self, text: str) -> str:
        """Returns a text without secrets and without unpaired surrogates."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text.encode("utf-8", "replace").decode()

    def _handler_frames(self, trace: TracebackType | None) -> list[traceback.FrameSummary]:
        """Returns the innermost frames of a traceback, from the first one of the handler on."""
        found = traceback.StackSummary.extract(traceback.walk_tb(trace), limit=-_FRAMES)
        own = next((place for place, frame in enumerate(found) if not _CALLERS.search(frame.filename)), 0)
        frames = found[own:]
        for frame in frames:
            frame.filename = frame.filename.removeprefix(self._folder)
        return frames

    def _format_lines(self, reason: BaseException, chained: int) -> Iterable[str]:
        """Returns the text of a traceback, after those of its causes."""
        cause = reason.__cause__ or (None if reason.__suppress_context__ else reason.__context__)
        if isinstance(reason, BaseExceptionGroup):
            cause = reason.exceptions[0]
        if cause is not None and chained:
            yield from self._format_lines(cause, chained - 1)
            yield "which led to:\n"
        for frame in self._handler_frames(reason.__traceback__):
            yield f"  {_format_place(frame)}\n"
            if frame.line:
                yield f"    {frame.line}\n"
        yield f"{_summarize_error(reason)[:ERROR_CHARACTERS]}\n"


def known_secrets(environ: Mapping[str, str], *others: str | None) -> list[str]:
    """Returns the values of secret settings in the environment, and of other variables with secret names."""
    named = [value for name, value in environ.items() if _SECRET_NAME.search(name.upper())]
    return [*named, *(one for one in others if one)]


def _format_place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}:{frame.lineno} {frame.name}"


def _summarize_error(reason: BaseException) -> str:
    """Returns type and message of an exception; without a message, as for a bare `assert`, the type."""
    message = _error_message(reason)
    return f"{type(reason).__name__}: {message}" if message else type(reason).__name__


def _error_message(reason: BaseException) -> str:
    try:
        return str(reason)
    except Exception as error:
        # An exception whose own text fails must not take the worker along.
        return f"<no text: {type(error).__name__}>"
