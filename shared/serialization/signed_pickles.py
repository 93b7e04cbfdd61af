"""Signed pickles: sender, purpose and expiry are verified before any byte of the pickle is read.

A payload consists of a mark, a signature (HMAC-SHA-256 of mark and body), and a body in MessagePack: purpose,
sender, time of creation and expiry (milliseconds since the epoch), nonce, pickle.
`shared.serialization.unpickler` defines the permitted content of a pickle.
"""

import enum
import hmac
import io
import math
import pickle
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.domain.errors import InvalidParams, Unauthorized
from shared.serialization.type_registry import NOTHING, Registry
from shared.serialization.unpickler import read_pickle

_MARK = b"CP1"
_SIGNATURE_BYTES = 32
_NONCE_BYTES = 16
_MIN_KEY_BYTES = 32
_PROTOCOL = 5
_MAX_NONCES = 100_000
_SKEW_SECONDS = 5.0
"""Maximum difference of the clocks of two machines."""
_FORGET_SECONDS = 35.0


class _Payload(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    purpose: str
    sender: str
    made: int
    expires: int
    nonce: bytes
    pickle: bytes


class _Pickler(pickle.Pickler):
    """Pickles enums by value on every version of Python: 3.11.0 to 3.11.3 would pickle `getattr` and a member."""

    def reducer_override(self, value: object) -> Any:
        return (type(value), (value.value,)) if isinstance(value, enum.Enum) else NotImplemented


def _pickle_value(value: object) -> bytes:
    written = io.BytesIO()
    _Pickler(written, protocol=_PROTOCOL).dump(value)
    return written.getvalue()


class PickleLimits(NamedTuple):
    """Limits of a payload."""

    payload_bytes: int = 262_144
    depth: int = 64
    values: int = 100_000
    seconds: float = 30.0
    """Validity of a payload."""


class UsedNonces:
    """Nonces that were used, kept in memory until they expire.

    `used` are nonces of an earlier process, by ascending expiry. Payloads created before `since` are refused, since
    their nonce may have been used and forgotten. The default is now, so this process accepts no payload that an
    earlier process may have read (given synchronized clocks).
    """

    def __init__(self, since: float | None = None, used: Iterable[tuple[bytes, float]] = ()) -> None:
        self._since = math.floor((time.time() if since is None else since) * 1000) / 1000
        self._used = OrderedDict(used)

    def add_nonce(self, nonce: bytes, made: float, expires: float, now: float) -> None:
        """Records a nonce; times are seconds since the epoch. Raises Unauthorized if it was used before."""
        if made < self._since:
            raise Unauthorized("the payload is older than this service", hint="make a new one")
        while self._used and next(iter(self._used.values())) < self.forget_before(now):
            self._used.popitem(last=False)
        if nonce in self._used:
            raise Unauthorized("the payload was read before", hint="make a new one for each request")
        if len(self._used) >= _MAX_NONCES:
            raise Unauthorized("too many payloads at a time", hint="come back in a moment")
        self._used[nonce] = expires

    @staticmethod
    def forget_before(now: float) -> float:
        """Returns the expiry before which a nonce can be forgotten, even if the clock is set back."""
        return now - _FORGET_SECONDS


class Pickles:
    """Creates and reads signed pickles for one purpose with a shared key.

    `sender` is the name of this side; `senders`, if given, are the accepted names; `nonces` are the nonces read so far.
    Raises ValueError for a key of less than 32 bytes.
    """

    def __init__(
        self,
        key: bytes,
        *,
        purpose: str,
        sender: str,
        senders: frozenset[str] | None = None,
        registry: Registry = NOTHING,
        limits: PickleLimits | None = None,
        nonces: UsedNonces | None = None,
    ) -> None:
        if len(key) < _MIN_KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, and needs {_MIN_KEY_BYTES}")
        self._key = key
        self._purpose = purpose
        self._sender = sender
        self._senders = senders
        self._registry = registry
        self._limits = limits or PickleLimits()
        self._nonces = nonces or UsedNonces()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Payload).decode

    def dumps(self, value: object) -> bytes:
        """Returns a signed payload. Raises InvalidParams for a value that the other side would refuse."""
        limits = self._limits
        try:
            pickled = _pickle_value(value)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidParams(f"this cannot be pickled: {error}") from None
        # The other side applies the same checks: fail here first.
        read_pickle(pickled, self._registry, depth=limits.depth, values=limits.values)
        now = time.time()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        expires = round((now + limits.seconds) * 1000)
        body = self._encode(_Payload(self._purpose, self._sender, round(now * 1000), expires, nonce, pickled))
        payload = _MARK + self._sign_payload(body) + body
        if len(payload) > limits.payload_bytes:
            raise InvalidParams(f"the payload has {len(payload)} bytes, and may have {limits.payload_bytes}")
        return payload

    def loads(self, payload: bytes) -> object:
        """Returns the value of a payload.

        Raises Unauthorized if the signature, purpose, sender or time is wrong or the payload was read before, and
        InvalidParams for a pickle with content that is not permitted.
        """
        limits = self._limits
        if len(payload) > limits.payload_bytes:
            raise InvalidParams(f"the payload has {len(payload)} bytes, and may have {limits.payload_bytes}")
        head = len(_MARK) + _SIGNATURE_BYTES
        body = payload[head:]
        signature = payload[len(_MARK) : head]
        if not payload.startswith(_MARK) or not hmac.compare_digest(signature, self._sign_payload(body)):
            raise Unauthorized("the payload is not signed with the key", hint="both sides need the same PICKLE_KEY")
        try:
            found = self._decode(body)
        except msgspec.MsgspecError as error:
            raise InvalidParams(f"the payload is not one of these: {error}") from None
        self._check_payload(found)
        return read_pickle(found.pickle, self._registry, depth=limits.depth, values=limits.values)

    def _check_payload(self, found: _Payload) -> None:
        now = time.time()
        if found.purpose != self._purpose:
            raise Unauthorized(f"the payload is for {found.purpose[:40]!r}, not for {self._purpose!r}")
        if self._senders is not None and found.sender not in self._senders:
            raise Unauthorized(f"payloads of {found.sender[:40]!r} are not read here")
        made, expires = found.made / 1000, found.expires / 1000
        if expires < now or made > now + _SKEW_SECONDS or expires - made > self._limits.seconds + 1:
            raise Unauthorized("the payload's time is over, or has not come", hint="make a new one; check both clocks")
        self._nonces.add_nonce(found.nonce, made, expires, now)

    def _sign_payload(self, body: bytes) -> bytes:
        return hmac.digest(self._key, _MARK + body, "sha256")
