"""Replies that need no request dispatcher: to broken requests, HTTP requests and interrupts."""

import re
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

from shared.domain.errors import ComandaError, Interrupted
from shared.wire.framing import BrokenRequest, HttpRequestLine
from shared.wire.replies import RequestIdValue, encode_line, error_reply
from shared.wire.telnet import Interrupt

_HTTP_BODY = b"""\
This port speaks JSON over TCP, not HTTP. Send a JSON document, or the line "help", with telnet or nc:
    telnet HOST PORT
"""
_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_HTTP_BODY), _HTTP_BODY)
)
# A terminal has at least 80 columns.
_COLUMNS = 79
_DESCRIBED = re.compile(r"(\S.*?)( {2,})(\S.*)")


class ImmediateReply(NamedTuple):
    """A reply; after a `last` one the connection is closed."""

    answer: bytes
    last: bool = False


def help_answer(lines: Iterable[str]) -> ImmediateReply:
    """The answer to the line `help` as people read it: lines of text that fit a terminal, then an empty one."""
    return ImmediateReply("".join(f"{part}\n" for one in (*lines, "") for part in _fitted(one)).encode())


def _fitted(text: str) -> list[str]:
    """Breaks a line that is too long; what describes a request stays in the column where it begins."""
    found = _DESCRIBED.fullmatch(text)
    if found is None or len(text) <= _COLUMNS:
        return [text] if len(text) <= _COLUMNS else textwrap.wrap(text, _COLUMNS)
    request, gap, description = found.groups()
    indent = " " * len(request + gap)
    return textwrap.wrap(description, _COLUMNS, initial_indent=request + gap, subsequent_indent=indent)


def answer_frame(frame: HttpRequestLine | BrokenRequest | Interrupt) -> ImmediateReply:
    """Returns the reply to a frame that is not a request."""
    match frame:
        case HttpRequestLine():
            return ImmediateReply(_HTTP_ANSWER, last=True)
        case BrokenRequest(error, fatal):
            return ImmediateReply(encode_line(error_reply(error)), last=fatal)
        case _:
            return refusal_reply(Interrupted("what was half typed is dropped", hint="go on with a new line"))


def refusal_reply(error: ComandaError, members: Any = None) -> ImmediateReply:
    """Returns the reply to a refused request; `members` is its document, if it could be decoded."""
    request_id: RequestIdValue = None
    if isinstance(members, dict) and isinstance(members.get("request_id"), str | int):
        request_id = members["request_id"]
    return ImmediateReply(encode_line(error_reply(error, request_id)))
