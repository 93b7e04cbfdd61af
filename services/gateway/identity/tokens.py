"""Access tokens: JSON Web Tokens (RFC 7519) signed with HS256, with several keys so that they can be rotated.

`JWT_KEYS` is `kid:BASE64,kid:BASE64`: the first key signs, all verify. To rotate, put a new key in front, and drop the
last one after an hour. `JWT_SECRET` verifies, and without other keys signs, tokens without `kid`.
"""

import base64
import binascii
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import jwt
import msgspec
from msgspec import Meta, Struct

from shared.domain.accounts import Role
from shared.domain.errors import ErrorReason, StartupError, Unauthorized
from shared.domain.tenants import TENANT_PATTERN

ISSUER = "comanda"
ACCESS_SECONDS = 3600
_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 10
_MIN_KEY_BYTES = 32
_MAX_TOKEN_CHARACTERS = 4096
_MAX_VERIFIED = 4096
_REQUIRED = ["exp", "iat", "sub", "tenant"]
# Names of stored items. The store would refuse others, with an answer that is not about the token. Unlike `$`,
# `\Z` accepts no line break.
_Name = Annotated[str, Meta(pattern=r"^[0-9a-z-]{1,40}\Z")]
_Tenant = Annotated[str, Meta(pattern=TENANT_PATTERN.removesuffix("$") + r"\Z")]
_KID = re.compile(r"[A-Za-z0-9._-]{1,32}")


class Claims(Struct, frozen=True):
    """The claims of an access token; `user_id` and `tenant_id` repeat `sub` and `tenant` for older clients."""

    iss: str
    sub: _Name
    user_id: str
    tenant: _Tenant
    tenant_id: str
    sid: _Name
    roles: list[Role]
    gen: int
    iat: int
    exp: int


class TokenSigner:
    """Signs and verifies access tokens. `keys` are by `kid`, the first signs; None is the `kid` of JWT_SECRET."""

    def __init__(
        self, keys: Mapping[str | None, bytes], *, seconds: int = ACCESS_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = dict(keys)
        self._signing = next(iter(self._keys))
        self._seconds = seconds
        self._clock = clock
        # Signatures are verified once: PyJWT takes 40 microseconds, a tenth of a small request.
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def sign(self, *, user: str, tenant: str, session: str, roles: Sequence[Role], generation: int) -> tuple[str, int]:
        """Returns an access token, and its expiry in Unix seconds."""
        now = int(self._clock())
        claims = Claims(ISSUER, user, user, tenant, tenant, session, list(roles), generation, now, now + self._seconds)
        headers = {"kid": self._signing} if self._signing is not None else None
        signed = jwt.encode(
            msgspec.to_builtins(claims), self._keys[self._signing], algorithm=_ALGORITHM, headers=headers
        )
        return signed, claims.exp

    def verify(self, token: str) -> Claims:
        """Returns the claims of a token. Raises Unauthorized.

        It does not say whether the session goes on: see `sessions.py`.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            if len(self._verified) >= _MAX_VERIFIED:
                self._verified.popitem(last=False)
            self._verified[token] = claims
        if claims.exp + _LEEWAY_SECONDS <= self._clock():
            self._verified.pop(token, None)
            raise _refuse("it has expired")
        return claims

    def _decode(self, token: str) -> Claims:
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise _refuse("it is too long")
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise _refuse("its key is not known")
            found = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=ISSUER,
                # Expiry is checked by the clock of this class, here and for tokens that were verified before.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            claims = msgspec.convert(found, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
            raise _refuse(str(error)) from None
        except Unauthorized:
            raise
        except Exception:
            # A token is parsed before its signature is checked: it can hold anything, such as a thousand brackets.
            raise _refuse("it cannot be parsed") from None
        if claims.user_id != claims.sub or claims.tenant_id != claims.tenant:
            raise _refuse("its claims contradict each other")
        if claims.iat > self._clock() + _LEEWAY_SECONDS:
            raise _refuse("it is not valid yet")
        return claims


def parse_keys(jwt_keys: str | None, jwt_secret: str | None) -> dict[str | None, bytes]:
    """Returns the keys of JWT_KEYS in their order, and after them that of JWT_SECRET under None.

    Raises StartupError for a key that is no Base64 or shorter than 32 bytes; no message repeats a key.
    """
    keys: dict[str | None, bytes] = {}
    for number, word in enumerate((jwt_keys or "").split(","), start=1):
        if not word.strip():
            continue
        kid, colon, encoded = word.strip().partition(":")
        hint = "write JWT_KEYS=kid:BASE64,kid:BASE64; openssl rand -base64 32 makes a key"
        if not colon or _KID.fullmatch(kid) is None or kid in keys:
            raise StartupError(f"JWT_KEYS: key {number} has no unique name before the colon", hint=hint)
        try:
            key = base64.b64decode(
                encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4), validate=True
            )
        except binascii.Error:
            raise StartupError(f"JWT_KEYS: the key {kid} is not Base64", hint=hint) from None
        if len(key) < _MIN_KEY_BYTES:
            raise StartupError(f"JWT_KEYS: the key {kid} is shorter than {_MIN_KEY_BYTES} bytes", hint=hint)
        keys[kid] = key
    if jwt_secret:
        secret = jwt_secret.encode()
        if any(hmac.compare_digest(secret, key) for key in keys.values()):
            raise StartupError("JWT_SECRET is one of JWT_KEYS", hint="leave JWT_SECRET out")
        keys[None] = secret
    return keys


def _refuse(reason: str) -> Unauthorized:
    return Unauthorized(
        f"the token is not valid: {reason}",
        field="Authorization",
        hint="sign in again, or refresh the token",
        reason=ErrorReason("token_invalid"),
    )
