"""Opaque tokens: a prefix, the names that find the stored item, and a secret of which only the digest is stored.

rt.main.01890000-….01890000-….3q2-7w…     a refresh token: tenant, user, session, secret
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.tenants import TENANT_PATTERN

MAX_TOKEN_CHARACTERS = 256
_SECRET_BYTES = 32
_TENANT = re.compile(TENANT_PATTERN.removesuffix("$"))
_NAME = re.compile(r"[0-9a-f-]{1,40}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class SecretToken(NamedTuple):
    """The parts of a token: the tenant, the names of the stored item, and the secret."""

    tenant: str
    names: tuple[str, ...]
    secret: str


def draw_secret() -> str:
    """Returns a new secret of 256 random bits, as text without dots."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_secret(secret: str) -> str:
    """Returns the SHA-256 of a secret; with 256 random bits it needs neither salt nor a slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def format_token(prefix: str, tenant: str, names: Sequence[str], secret: str) -> str:
    """Returns the text of a token; a session cookie has no prefix."""
    return ".".join((*([prefix] if prefix else []), tenant, *names, secret))


def parse_token(text: str, prefix: str, names: int) -> SecretToken | None:
    """Returns the parts of a token with this prefix and number of names; None for any other text."""
    if len(text) > MAX_TOKEN_CHARACTERS:
        return None
    parts = text.split(".")
    if prefix:
        if parts[0] != prefix:
            return None
        del parts[0]
    if len(parts) != names + 2:
        return None
    tenant, *named, secret = parts
    if (
        _TENANT.fullmatch(tenant) is None
        or not all(_NAME.fullmatch(name) for name in named)
        or _SECRET.fullmatch(secret) is None
    ):
        return None
    return SecretToken(tenant, tuple(named), secret)
