"""Answers that are known as soon as a frame is read: to what is broken, and to what came to the wrong port."""

from typing import Any, NamedTuple

from shared.domain.errors import ComandaError, Interrupted
from shared.wire.framing import Broken, HttpRequest
from shared.wire.replies import RequestIdValue, failure, line
from shared.wire.telnet import Interrupt

_HTTP_BODY = b"""\
This port speaks JSON over TCP, not HTTP. Send a JSON document, or the line "help", with telnet or nc:
    telnet HOST PORT
"""
_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_HTTP_BODY), _HTTP_BODY)
)


class Ready(NamedTuple):
    """An answer; after a `last` one the connection ends."""

    answer: bytes
    last: bool = False


def answer_frame(frame: HttpRequest | Broken | Interrupt) -> Ready:
    """The answer to a frame that asks for nothing."""
    match frame:
        case HttpRequest():
            return Ready(_HTTP_ANSWER, last=True)
        case Broken(error, fatal):
            return Ready(line(failure(error)), last=fatal)
        case _:
            return refusal(Interrupted("what was half typed is dropped", hint="go on with a new line"))


def refusal(error: ComandaError, members: Any = None) -> Ready:
    """The answer to a request that was refused; `members` is its document, as far as it could be read."""
    request_id: RequestIdValue = None
    if isinstance(members, dict) and isinstance(members.get("request_id"), str | int):
        request_id = members["request_id"]
    return Ready(line(failure(error, request_id)))
