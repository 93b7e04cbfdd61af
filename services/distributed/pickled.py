"""Signed pickles as an encoding of requests and answers, beside JSON."""

from typing import Any, NamedTuple

from msgspec.structs import replace

from services.distributed.actions import ACTIONS
from shared.domain.errors import InvalidParams
from shared.serialization.serializer import deserialize, serialize
from shared.serialization.signed_pickles import PickleLimits, Pickles, UsedNonces
from shared.server.actions import Members, ParsedRequest
from shared.server.parser import Item, RequestParser
from shared.wire.replies import encode_line, error_reply

SERVICE = "distributed"
REQUEST = "comanda:distributed:request"
"""Purpose of a request's pickle."""
ANSWER = "comanda:distributed:answer"
"""Purpose of an answer's pickle; neither is valid as the other."""


class PickleCodecs(NamedTuple):
    """The pickle codecs of both directions; None without a key."""

    requests: Pickles | None = None
    answers: Pickles | None = None


def open_codecs(key: str | None, *, payload_bytes: int, nonces: UsedNonces) -> PickleCodecs:
    """Returns the codecs for the setting PICKLE_KEY; `nonces` stores the nonces of requests."""
    if key is None:
        return PickleCodecs()
    limits = PickleLimits(payload_bytes=payload_bytes)
    return PickleCodecs(
        Pickles(key.encode(), purpose=REQUEST, sender=SERVICE, limits=limits, nonces=nonces),
        Pickles(key.encode(), purpose=ANSWER, sender=SERVICE, limits=limits),
    )


class PickleParser(RequestParser):
    """Parses requests in JSON, and in pickles, which get their answers in pickles."""

    def __init__(self, codecs: PickleCodecs) -> None:
        super().__init__(ACTIONS)
        self._codecs = codecs

    def parse_other(self, members: Any, document: bytes) -> Item | None:
        """See `RequestParser.parse_other`. Raises InvalidParams, Unauthorized, or UnknownAction."""
        if not isinstance(members, dict) or "encoding" not in members:
            return None
        return replace(self._decode_pickle(members), encode=self._encode_answer)

    def _decode_pickle(self, members: dict[str, Any]) -> ParsedRequest:
        if members["encoding"] != "pickle":
            raise InvalidParams("encoding can only be pickle", field="encoding", hint="leave it out for plain JSON")
        payload = members.get("payload")
        if not isinstance(payload, str):
            raise InvalidParams(
                "payload is missing", field="payload", hint="it is the request, pickled, signed, in base64"
            )
        if odd := members.keys() - {"encoding", "payload", "request_id"}:
            raise InvalidParams(f"{min(odd)} has to be in the payload", field=min(odd))
        return ACTIONS.convert(deserialize(payload, "pickle_base64", pickles=self._codecs.requests))

    def _encode_answer(self, members: Members) -> bytes:
        try:
            return encode_line(self._encode_payload(members))
        except InvalidParams as error:
            error.hint = "ask for less at a time: limit"
            return encode_line(self._encode_payload(error_reply(error, members.get("request_id"))))

    def _encode_payload(self, members: Members) -> Members:
        payload = serialize(members, "pickle_base64", pickles=self._codecs.answers)
        return {"success": members["success"], "encoding": "pickle", "payload": payload}
