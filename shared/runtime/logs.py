"""Structured logs on standard error, for people (console) or programs (JSON)."""

import logging
import sys
import threading
from collections.abc import MutableMapping
from traceback import TracebackException
from typing import Any, Literal

import structlog

from shared.domain.errors import ComandaError

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_FRAMES = 20
_TRACEBACK_CHARACTERS = 8000
_EVENT_CHARACTERS = 2000
# A value with one of these is quoted on the console.
_QUOTED = frozenset(" \t=\r\n\"'")


def log_fault(event: str, **values: Any) -> ComandaError:
    """Logs the exception that is being handled; returns the error to answer, which says nothing of it."""
    structlog.get_logger().exception(event, **values)
    return ComandaError("the server failed; its log says why")


def configure(*, form: LogFormat, level: LogLevel, service: str) -> None:
    """Sets up structlog, and has the standard library's loggers speak through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ends: list[Any] = [structlog.processors.ExceptionRenderer(_format_exc_info)]
    if form == "json":
        ends.append(structlog.processors.JSONRenderer())
    else:
        ends.append(_escape_controls)
        ends.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *ends],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # One write for each entry: the servers of a suite share this stream, and entries would run into each other.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    foreign = [*shared, _cut_event]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[strip, *ends], foreign_pre_chain=foreign))
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def format_traceback(error: BaseException) -> str:
    """The traceback of an exception: the innermost frames without their locals, which hold tokens and bodies.

    At most some thousand characters, however deep the stack and however long the message: the first ones, which say
    where it began, and the last ones, which say what was raised.
    """
    shown = TracebackException.from_exception(error, limit=-_FRAMES, compact=True)
    text = "".join(shown.format()).rstrip()
    if len(text) <= _TRACEBACK_CHARACTERS:
        return text
    half = _TRACEBACK_CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _format_exc_info(exc_info: tuple[Any, BaseException, Any]) -> str:
    return format_traceback(exc_info[1])


def _cut_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Bounds what other libraries log: asyncio's message about a failed callback names its arguments."""
    text = str(event["event"])
    if len(text) > _EVENT_CHARACTERS:
        event["event"] = text[:_EVENT_CHARACTERS] + "…"
    return event


def _escape_controls(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Writes what steers a terminal as an escape, and indents tracebacks.

    Names, messages of exceptions and requests are other people's text: it must neither act on the terminal that shows
    the log, nor begin a line that passes for an entry of its own.
    """
    for name, value in event.items():
        if not isinstance(value, str) or value.isprintable():
            continue
        if name == "exception":
            event[name] = "\n".join("  " + _escaped(line) for line in value.split("\n"))
        elif name == "event" or _QUOTED.isdisjoint(value):
            # The renderer writes others as literals, with their escapes.
            event[name] = _escaped(value)
    return event


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: Any) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=error.with_traceback(traceback))
