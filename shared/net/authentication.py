"""Token authentication of connections, as a service in front of another one.

The first document of a connection must be `{"action":"authenticate","token":…}`, or the line `authenticate TOKEN`. Any
other request, or a wrong token, is answered with an error, and the connection is closed.
"""

import hmac
from collections.abc import Callable

import msgspec
from msgspec import Struct

from shared.domain.errors import Unauthorized
from shared.domain.orders import RequestId
from shared.net.connection import Connection, Service
from shared.wire.framing import Document, Frame, HttpRequestLine, TextLine
from shared.wire.immediate_replies import answer_frame
from shared.wire.replies import encode_line, error_reply, success_reply

_VERB = "authenticate"
_REFUSED = "this port requires the token first"
_HINT = 'send {"action":"authenticate","token":"…"} before anything else; it is the setting SERVICE_TOKEN'


class _Authenticate(Struct, tag_field="action", tag=_VERB, forbid_unknown_fields=True):
    """The document that authenticates a connection."""

    token: str
    request_id: RequestId | None = None


_decode = msgspec.json.Decoder(_Authenticate).decode


class TokenAuthentication:
    """Implements `Service` for connections that have to authenticate before `service` gets their requests."""

    def __init__(self, service: Service, token: str, on_refusal: Callable[[str], None]) -> None:
        self._service = service
        self._on_refusal = on_refusal
        self._token = token.encode()
        self._admitted: set[Connection] = set()

    def greeting(self) -> bytes:
        """See `Service.greeting`."""
        return self._service.greeting()

    def block(self, connection: Connection, block: bytes) -> int:
        """See `Service.block`. Declines blocks until the connection is authenticated."""
        return self._service.block(connection, block) if connection in self._admitted else 0

    def frame(self, connection: Connection, frame: Frame) -> None:
        """See `Service.frame`."""
        if connection in self._admitted:
            self._service.frame(connection, frame)
            return
        if isinstance(frame, HttpRequestLine):
            connection.answer(answer_frame(frame).answer)
            connection.finish()
            return
        found = _parse_authentication(frame)
        if found is not None and hmac.compare_digest(found.token.encode(), self._token):
            self._admitted.add(connection)
            connection.answer(encode_line(success_reply({"authenticated": True}, found.request_id)))
            return
        message = _REFUSED if found is None else "the token is wrong"
        request_id = None if found is None else found.request_id
        self._on_refusal(connection.peer_address)
        connection.answer(encode_line(error_reply(Unauthorized(message, hint=_HINT), request_id)))
        connection.finish()

    def closed(self, connection: Connection) -> None:
        """See `Service.closed`."""
        self._admitted.discard(connection)
        self._service.closed(connection)


def _parse_authentication(frame: Frame) -> _Authenticate | None:
    match frame:
        case Document(data):
            try:
                return _decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return None
        case TextLine(text):
            word, _, token = text.partition(" ")
            return _Authenticate(token.strip()) if word.lower() == _VERB else None
    return None


def require_token(service: Service, token: str | None, *, on_refusal: Callable[[str], None]) -> Service:
    """Returns the service with token authentication if there is a token.

    `on_refusal` gets the address of each client that is refused.
    """
    return service if token is None else TokenAuthentication(service, token, on_refusal)
