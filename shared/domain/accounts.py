"""Accounts of users: their roles, their members, and the normal form of e-mail addresses."""

import re
import secrets
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from shared.domain.errors import ErrorReason, InvalidParams
from shared.domain.names import name_key

Role = Literal["viewer", "operator", "admin", "customer", "staff"]
"""What an account or an API key may do within its tenant."""

ROLES: tuple[Role, ...] = get_args(Role)

MAX_EMAIL_CHARACTERS = 254
"""RFC 5321, section 4.5.3.1.3, without the angle brackets."""
MAX_LOCAL_CHARACTERS = 64
"""RFC 5321, section 4.5.3.1.1."""
SHARDS = 16
"""Partitions of the index over all accounts of a tenant."""

# Quoted local parts and address literals are valid by RFC 5321, and no mailbox of a person has one. Line breaks would
# end the header of a message.
_EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]+@[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]+")

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
Category = Annotated[str, Meta(min_length=1, max_length=100)]


class Preferences(Struct, frozen=True, forbid_unknown_fields=True):
    """Preferences of a user: categories of goods, and a language tag."""

    categories: Annotated[list[Category], Meta(max_length=100)] = []
    language: Language = "es"


class Account(Struct, frozen=True):
    """An account, as it is stored in the table `Accounts`; its password hash and its sessions are elsewhere."""

    user: str
    """UUID of version 7."""
    email: str
    """In normal form."""
    first_name: str
    last_name: str
    preferences: Preferences
    roles: list[Role]
    active: bool
    """False while an administrator has blocked the account."""
    created_at: str
    updated_at: str
    generation: int
    """Sessions and tokens of an earlier generation are not valid any more."""
    shard: int


def normalize_email(text: str) -> str:
    """Returns the normal form of an e-mail address: NFC, without invisible characters, case folded.

    Two addresses with one normal form are one account. Raises InvalidParams for text that is no address.

    >>> normalize_email(" ANA@Example.es") == normalize_email("ana@example.ES") == "ana@example.es"
    True
    """
    email = name_key(text[: MAX_EMAIL_CHARACTERS * 2])
    local, _, domain = email.partition("@")
    if (
        len(text) > MAX_EMAIL_CHARACTERS
        or len(email) > MAX_EMAIL_CHARACTERS
        or len(local) > MAX_LOCAL_CHARACTERS
        or _EMAIL.fullmatch(email) is None
        or ".." in domain
        or domain.startswith((".", "-"))
        or domain.endswith(".")
    ):
        raise InvalidParams(
            "this is not an e-mail address",
            field="email",
            hint="write it like ana@example.com",
            reason=ErrorReason("email_invalid"),
        )
    return email


def new_user_id(microseconds: int) -> str:
    """Returns a new id: a UUID of version 7 (RFC 9562) for this time since the epoch."""
    drawn = secrets.randbits(74)
    digits = f"{microseconds // 1000:012x}7{drawn >> 62:03x}{0x8000 | (drawn >> 48 & 0x3FFF):04x}{drawn % 2**48:012x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def shard_of(user: str) -> int:
    """Returns the shard of an account: its last hexadecimal digit, which is random."""
    return int(user[-1], SHARDS)
