"""Structured logs on standard error, for people (console) or programs (JSON)."""

import logging
import sys
import threading
from collections.abc import MutableMapping
from traceback import TracebackException
from typing import Any, Literal

import structlog

from shared.domain.errors import ComandaError
from shared.runtime.log_quota import LogQuota

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_FRAMES = 20
_TRACEBACK_CHARACTERS = 8000
_EVENT_CHARACTERS = 2000
# The console renderer quotes values with one of these characters.
_QUOTED = frozenset(" \t=\r\n\"'")


def log_internal_error(event: str, **values: Any) -> ComandaError:
    """Logs the exception that is being handled. Returns an error for the client, without details."""
    structlog.get_logger().exception(event, **values)
    return ComandaError("the server failed; its log says why")


def configure_logging(*, form: LogFormat, level: LogLevel, service: str) -> None:
    """Configures structlog, and routes the loggers of the standard library through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Any] = [structlog.processors.ExceptionRenderer(_format_exc_info)]
    if form == "json":
        renderers.append(structlog.processors.JSONRenderer())
    else:
        renderers.append(_escape_controls)
        renderers.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # One write for each entry: the servers of a suite share the stream, and entries would be mixed up.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    quota = LogQuota()
    handler.addFilter(lambda _: quota.admit())
    foreign = [*shared, _cut_event, lambda _, __, entry: entry | quota.take_left_out()]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[strip, *renderers], foreign_pre_chain=foreign))
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def format_traceback(error: BaseException) -> str:
    """Returns the traceback of an exception: the innermost frames, without locals, which may hold tokens and bodies.

    The text has at most 8,000 characters: its beginning, and its end with the message of the exception.
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
    """Shortens messages of other libraries: asyncio's message about a failed callback contains its arguments."""
    text = str(event["event"])
    if len(text) > _EVENT_CHARACTERS:
        event["event"] = text[:_EVENT_CHARACTERS] + "…"
    return event


def _escape_controls(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escapes control characters, and indents tracebacks.

    Names, messages of exceptions and requests may be written by an attacker: they must neither control the terminal
    that shows the log nor forge an entry of their own.
    """
    for name, value in event.items():
        if not isinstance(value, str) or value.isprintable():
            continue
        if name == "exception":
            event[name] = "\n".join("  " + _escape_text(line) for line in value.split("\n"))
        elif name == "event" or _QUOTED.isdisjoint(value):
            # The renderer escapes other values itself.
            event[name] = _escape_text(value)
    return event


def _escape_text(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: Any) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=error.with_traceback(traceback))
