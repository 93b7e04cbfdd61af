"""Requests and answers in another encoding than JSON: a signed pickle, both ways."""

from typing import Any, NamedTuple

from msgspec.structs import replace

from services.distributed.actions import ACTIONS
from shared.domain.errors import InvalidParams
from shared.serialization.serializer import deserialize, serialize
from shared.serialization.signed_pickles import PickleLimits, Pickles, UsedNonces
from shared.server.actions import Members, ParsedRequest
from shared.server.parser import Item, RequestParser
from shared.wire.replies import failure, line

SERVICE = "distributed"
REQUEST = "comanda:distributed:request"
"""What a request's pickle is for."""
ANSWER = "comanda:distributed:answer"
"""What an answer's pickle is for: neither is good as the other."""


class PickleCodecs(NamedTuple):
    """The pickles of both ways; None where there is no key."""

    requests: Pickles | None = None
    answers: Pickles | None = None


def open_codecs(key: str | None, *, payload_bytes: int, nonces: UsedNonces) -> PickleCodecs:
    """Returns both ways, with the key of the setting PICKLE_KEY; `nonces` has the requests that were read."""
    if key is None:
        return PickleCodecs()
    limits = PickleLimits(payload_bytes=payload_bytes)
    return PickleCodecs(
        Pickles(key.encode(), purpose=REQUEST, sender=SERVICE, limits=limits, nonces=nonces),
        Pickles(key.encode(), purpose=ANSWER, sender=SERVICE, limits=limits),
    )


class PickleParser(RequestParser):
    """Parses JSON, and requests in pickles, which are answered in pickles."""

    def __init__(self, codecs: PickleCodecs) -> None:
        super().__init__(ACTIONS)
        self._codecs = codecs

    def parse_other(self, members: Any, document: bytes) -> Item | None:
        """See `RequestParser.parse_other`. Raises InvalidParams, Unauthorized, or UnknownAction."""
        if not isinstance(members, dict) or "encoding" not in members:
            return None
        return replace(self._decode(members), encode=self._encode)

    def _decode(self, members: dict[str, Any]) -> ParsedRequest:
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

    def _encode(self, members: Members) -> bytes:
        try:
            return line(self._encode_payload(members))
        except InvalidParams as error:
            error.hint = "ask for less at a time: limit"
            return line(self._encode_payload(failure(error, members.get("request_id"))))

    def _encode_payload(self, members: Members) -> Members:
        payload = serialize(members, "pickle_base64", pickles=self._codecs.answers)
        return {"success": members["success"], "encoding": "pickle", "payload": payload}
