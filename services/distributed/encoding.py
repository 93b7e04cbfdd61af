"""Requests and answers in another encoding than JSON: a signed pickle, both ways."""

from typing import Any, NamedTuple

from services.distributed.requests import CATALOGUE, Request
from shared.domain.errors import InvalidParams
from shared.wire.pickles import PickleLimits, Pickles, UsedNonces
from shared.wire.serialization import deserialize, serialize

SERVICE = "distributed"
REQUEST = "comanda:distributed:request"
"""What a request's pickle is for."""
ANSWER = "comanda:distributed:answer"
"""What an answer's pickle is for: neither is good as the other."""


class Ways(NamedTuple):
    """The pickles of both ways; None where there is no key."""

    requests: Pickles | None = None
    answers: Pickles | None = None


def ways(key: str | None, *, payload_bytes: int, nonces: UsedNonces) -> Ways:
    """Both ways, with the key of the setting PICKLE_KEY; `nonces` has the requests that were read."""
    if key is None:
        return Ways()
    limits = PickleLimits(payload_bytes=payload_bytes)
    return Ways(
        Pickles(key.encode(), purpose=REQUEST, sender=SERVICE, limits=limits, nonces=nonces),
        Pickles(key.encode(), purpose=ANSWER, sender=SERVICE, limits=limits),
    )


def decode_request(members: dict[str, Any], pickles: Pickles | None) -> Request:
    """The request in the pickle of an object with `encoding` and `payload`.

    Raises InvalidParams, Unauthorized, or UnknownAction.
    """
    if members["encoding"] != "pickle":
        raise InvalidParams("encoding can only be pickle", field="encoding", hint="leave it out for plain JSON")
    payload = members.get("payload")
    if not isinstance(payload, str):
        raise InvalidParams("payload is missing", field="payload", hint="it is the request, pickled, signed, in base64")
    if odd := members.keys() - {"encoding", "payload", "request_id"}:
        raise InvalidParams(f"{min(odd)} has to be in the payload", field=min(odd))
    return CATALOGUE.convert(deserialize(payload, "pickle_base64", pickles=pickles))


def encode_answer(members: dict[str, Any], pickles: Pickles | None) -> dict[str, Any]:
    """An answer as an object with `encoding` and `payload`."""
    payload = serialize(members, "pickle_base64", pickles=pickles)
    return {"success": members["success"], "encoding": "pickle", "payload": payload}
