"""Links that set a password: for a forgotten one, a new account, or the first administrator."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from clients.accounts.secret_tokens import digest_secret, draw_secret, format_token, parse_token
from clients.persistence import PersistenceClient
from shared.domain.accounts import Account, Role
from shared.domain.records import Action, Condition, Delete, Put
from shared.domain.tables import PASSWORD_RESETS

RESET_SECONDS = 1800
INVITATION_SECONDS = 86_400
"""For links that a person hands on, such as that of the first administrator."""
PREFIX = "pr"


class PasswordReset(NamedTuple):
    """A token that sets a password once, and the action that stores its digest."""

    token: str
    action: Action


class StoredReset(NamedTuple):
    """The account whose password a token sets, and the action that uses the token up."""

    user: str
    generation: int
    action: Action


def open_reset(tenant: str, account: Account, *, seconds: int = RESET_SECONDS) -> PasswordReset:
    """Returns a new token. It is void as soon as the password was changed in another way."""
    secret = draw_secret()
    item = {
        "digest": digest_secret(secret),
        "user": account.user,
        "generation": account.generation,
        "expires": int(time.time()) + seconds,
    }
    return PasswordReset(
        format_token(PREFIX, tenant, (), secret), Put(PASSWORD_RESETS.name, item, Condition(exists=False))
    )


def tenant_of_reset(token: str) -> str | None:
    """Returns the tenant that a token names; None for other text."""
    parsed = parse_token(token, PREFIX, 0)
    return None if parsed is None else parsed.tenant


async def load_reset(records: PersistenceClient, token: str) -> StoredReset | None:
    """Returns what a token stands for; None if it has expired, was used, or never existed."""
    parsed = parse_token(token, PREFIX, 0)
    if parsed is None:
        return None
    key = {"digest": digest_secret(parsed.secret)}
    stored = await records.get_item(PASSWORD_RESETS.name, key)
    if stored.item is None:
        return None
    used = Delete(PASSWORD_RESETS.name, key, Condition(exists=True))
    return StoredReset(stored.item["user"], stored.item["generation"], used)


def link_to_reset(base_url: str, token: str, roles: Sequence[Role]) -> str:
    """Returns the address of the page that asks for the new password: of the shop for customers, else of the dashboard.

    No server logs the fragment with the token.
    """
    app = "shop" if set(roles) == {"customer"} else "admin"
    return f"{base_url.rstrip('/')}/{app}/password#token={token}"
