"""What connections hand in, understood one by one: orders, actions, or an answer that needs no more."""

from typing import Any, NamedTuple

from services.intake.requests import Action, decode_action, parse_verb
from shared.domain.errors import ComandaError, Interrupted, InvalidParams
from shared.domain.orders import OrderRequest
from shared.wire.framing import Broken, Document, Frame, HttpRequest, Line
from shared.wire.orders import EXAMPLE, OrderBlock, OrderDecoder
from shared.wire.replies import RequestIdValue, failure, line
from shared.wire.strict import parse


class OrderArray(NamedTuple):
    """The members of one array, which is answered as a whole."""

    members: list[OrderRequest | InvalidParams]


class Ready(NamedTuple):
    """An answer that is known already; after a `last` one the connection ends."""

    answer: bytes
    last: bool = False


Item = OrderBlock | OrderArray | Action | Ready
"""Orders of a block are answered one by one."""

_HTTP_BODY = b"""\
This port speaks JSON over TCP, not HTTP. Send an order, or the line "help", with telnet or nc:
    telnet HOST PORT
"""
_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_HTTP_BODY), _HTTP_BODY)
)


class Reader:
    """Understands what a connection sent."""

    def __init__(self, max_array_orders: int) -> None:
        self._max_array_orders = max_array_orders
        self._decoder = OrderDecoder()
        self.block = self._decoder.block
        """The orders of a block of lines, or None unless it is nothing but valid orders."""

    def frame(self, frame: Frame) -> Item:
        """What one request asks for; a wrong one is an answer that says so."""
        match frame:
            case Document(data):
                return self._document(data)
            case Line(text):
                try:
                    return parse_verb(text)
                except ComandaError as error:
                    return _refusal(error)
            case HttpRequest():
                return Ready(_HTTP_ANSWER, last=True)
            case Broken(error, fatal):
                return Ready(line(failure(error)), last=fatal)
            case _:
                return _refusal(Interrupted("what was half typed is dropped", hint="go on with a new line"))

    def _document(self, data: bytes) -> Item:
        if (block := self.block(data)) is not None:
            return block
        members: Any = None
        try:
            members = parse(data)
            if isinstance(members, list):
                if not members:
                    raise InvalidParams("the array is empty", hint="put orders into it", example=[EXAMPLE])
                if len(members) > self._max_array_orders:
                    raise InvalidParams(
                        f"an array holds at most {self._max_array_orders} orders, not {len(members)}",
                        hint="send more arrays; the limit is the setting MAX_ARRAY_ORDERS",
                    )
                return OrderArray(self._decoder.array(data))
            if "action" in members:
                return decode_action(data, members["action"])
            return OrderBlock([self._decoder.document(data)], plain=False)
        except ComandaError as error:
            return _refusal(error, members)


def _refusal(error: ComandaError, members: Any = None) -> Ready:
    request_id: RequestIdValue = None
    if isinstance(members, dict) and isinstance(members.get("request_id"), str | int):
        request_id = members["request_id"]
    return Ready(line(failure(error, request_id)))
