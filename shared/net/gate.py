"""Lets those in who know the token: a service of its own in front of another.

The first document of a connection is `{"action":"authenticate","token":…}`, or the line `authenticate TOKEN`. Who
sends anything else, or another token, is told so, and the connection ends.
"""

import hmac
import ipaddress
import socket
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from shared.domain.errors import StartupError, Unauthorized
from shared.domain.orders import RequestId
from shared.net.addresses import is_own_host
from shared.net.connection import Connection, Service
from shared.wire.framing import Document, Frame, HttpRequest, Line
from shared.wire.ready import answer_frame
from shared.wire.replies import failure, line, success

_VERB = "authenticate"
_REFUSED = "this port asks for the token first"
_HINT = 'send {"action":"authenticate","token":"…"} before anything else; it is the setting SERVICE_TOKEN'


class _Authenticate(Struct, tag_field="action", tag=_VERB, forbid_unknown_fields=True):
    """The document that opens the gate."""

    token: str
    request_id: RequestId | None = None


_decode = msgspec.json.Decoder(_Authenticate).decode


class Gate:
    """Implements `Service` in front of another one."""

    def __init__(self, service: Service, token: str) -> None:
        self._service = service
        self._token = token.encode()
        self._admitted: set[Connection] = set()

    def greeting(self) -> bytes:
        """See `Service.greeting`."""
        return self._service.greeting()

    def block(self, connection: Connection, block: bytes) -> int:
        """See `Service.block`. Requests come one by one until the first has opened the gate."""
        return self._service.block(connection, block) if connection in self._admitted else 0

    def frame(self, connection: Connection, frame: Frame) -> None:
        """See `Service.frame`."""
        if connection in self._admitted:
            self._service.frame(connection, frame)
            return
        if isinstance(frame, HttpRequest):
            connection.answer(answer_frame(frame).answer)
            connection.finish()
            return
        found = _authentication(frame)
        if found is not None and hmac.compare_digest(found.token.encode(), self._token):
            self._admitted.add(connection)
            connection.answer(line(success({"authenticated": True}, found.request_id)))
            return
        message = _REFUSED if found is None else "the token is not the right one"
        request_id = None if found is None else found.request_id
        connection.answer(line(failure(Unauthorized(message, hint=_HINT), request_id)))
        connection.finish()

    def closed(self, connection: Connection) -> None:
        """See `Service.closed`."""
        self._admitted.discard(connection)
        self._service.closed(connection)


def _authentication(frame: Frame) -> _Authenticate | None:
    match frame:
        case Document(data):
            try:
                return _decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return None
        case Line(text):
            word, _, token = text.partition(" ")
            return _Authenticate(token.strip()) if word.lower() == _VERB else None
    return None


def check_exposure(listeners: Sequence[socket.socket], setting: str, *, guarded: bool) -> None:
    """Raises StartupError for an internal port that others than this machine reach, unless it is `guarded`."""
    for listener in listeners:
        address = listener.getsockname()[0]
        if not guarded and not ipaddress.ip_address(address).is_loopback:
            for opened in listeners:
                opened.close()
            raise StartupError(
                f"{setting} {address} can be reached from other machines, and nobody is asked who they are",
                hint="set SERVICE_TOKEN, or OPEN_INTERNAL_PORTS=true where the network keeps others out",
            )


def is_open_to_others(listeners: Sequence[socket.socket]) -> bool:
    """Whether other machines than this one can reach any of the listeners."""
    return not all(is_own_host(listener.getsockname()[0]) for listener in listeners)


def guard(service: Service, token: str | None) -> Service:
    """The service, behind a gate where there is a token."""
    return service if token is None else Gate(service, token)
