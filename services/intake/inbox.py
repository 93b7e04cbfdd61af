"""What connections hand in, understood one by one: orders, actions, or an answer that needs no more."""

from typing import Any, NamedTuple

from services.intake.help import help_text
from services.intake.requests import Action, Help, decode_action, parse_verb
from shared.domain.errors import ComandaError, InvalidParams
from shared.domain.orders import OrderRequest
from shared.runtime.logs import log_internal_error
from shared.wire.framing import Document, Frame, TextLine
from shared.wire.immediate_replies import ImmediateReply, answer_frame, help_answer, refusal_reply
from shared.wire.orders import EXAMPLE, OrderBlock, OrderDecoder
from shared.wire.strict_json import parse_json


class OrderArray(NamedTuple):
    """The members of one array, which is answered as a whole."""

    members: list[OrderRequest | InvalidParams]


Item = OrderBlock | OrderArray | Action | ImmediateReply
"""Orders of a block are answered one by one."""


class Reader:
    """Understands what a connection sent."""

    def __init__(self, max_array_orders: int) -> None:
        self._max_array_orders = max_array_orders
        self._decoder = OrderDecoder()
        self.block = self._decoder.decode_block
        """The orders of a block of lines, or None unless it is nothing but valid orders."""

    def frame(self, frame: Frame) -> Item:
        """What one request asks for; a wrong one is an answer that says so."""
        match frame:
            case Document(data):
                return self._document(data)
            case TextLine(text):
                try:
                    action = parse_verb(text)
                    return help_answer(help_text(action.topic)) if isinstance(action, Help) else action
                except ComandaError as error:
                    return refusal_reply(error)
                except Exception:
                    return refusal_reply(log_internal_error("request_read_failed"))
            case _:
                return answer_frame(frame)

    def _document(self, data: bytes) -> Item:
        if (block := self.block(data)) is not None:
            return block
        members: Any = None
        try:
            members = parse_json(data)
            if isinstance(members, list):
                if not members:
                    raise InvalidParams("the array is empty", hint="put orders into it", example=[EXAMPLE])
                if len(members) > self._max_array_orders:
                    raise InvalidParams(
                        f"an array holds at most {self._max_array_orders} orders, not {len(members)}",
                        hint="send more arrays; the limit is the setting MAX_ARRAY_ORDERS",
                    )
                return OrderArray(self._decoder.decode_array(data))
            if "action" in members:
                return decode_action(data, members["action"])
            return OrderBlock([self._decoder.decode_document(data)], plain=False)
        except ComandaError as error:
            return refusal_reply(error, members)
        except Exception:
            return refusal_reply(log_internal_error("request_read_failed"), members)
