"""The request parser: frames of a connection into requests, or into the answers that refuse them."""

from typing import Any, Protocol

from shared.domain.errors import ComandaError, InvalidParams
from shared.runtime.logs import log_internal_error
from shared.server.actions import ActionRegistry, ParsedRequest
from shared.wire.framing import Document, Frame, TextLine
from shared.wire.immediate_replies import ImmediateReply, answer_frame, refusal_reply
from shared.wire.strict_json import parse_json


class ServerItem(Protocol):
    """A request, or several, that a server parses besides actions, for its batch alone."""

    @property
    def weight(self) -> int:
        """The share of a turn that the item takes; an action takes 1."""


Item = ParsedRequest | ImmediateReply | ServerItem


class RequestParser:
    """Parses the actions of a registry. A server with other documents extends it."""

    def __init__(self, actions: ActionRegistry[Any]) -> None:
        self._actions = actions

    def parse_block(self, block: bytes) -> list[Item] | ServerItem | None:
        """Returns the requests of a block of complete lines, or one item with as many requests as it weighs.

        None declines the block: its lines then come one by one. For servers to which requests come in such numbers
        that it pays.
        """
        return None

    def parse_frame(self, frame: Frame) -> Item:
        """Returns the request of a frame, or the answer that refuses it."""
        match frame:
            case Document(data):
                return self.parse_document(data)
            case TextLine(text):
                try:
                    return self._actions.parse_verb(text)
                except ComandaError as error:
                    return refusal_reply(error)
                except Exception:
                    return refusal_reply(log_internal_error("request_read_failed"))
            case _:
                return answer_frame(frame)

    def parse_other(self, members: Any, document: bytes) -> Item | None:
        """Returns the item of a document that is no plain action; None for one that has to be. Raises ComandaError."""
        return None

    def parse_document(self, document: bytes) -> Item:
        """Returns the item of a document, or the answer that refuses it."""
        members: Any = None
        try:
            members = parse_json(document)
            if (other := self.parse_other(members, document)) is not None:
                return other
            if not isinstance(members, dict) or "action" not in members:
                raise InvalidParams(
                    "a request is an object with an action", hint="try: help", example={"action": "ping"}
                )
            return self._actions.decode(document, members["action"])
        except ComandaError as error:
            return refusal_reply(error, members)
        except Exception:
            return refusal_reply(log_internal_error("request_read_failed"), members)
