"""API keys of programs: a role in a tenant until an expiry. Only the digest of the secret is stored."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from clients.accounts.secret_tokens import SecretToken, digest_secret, draw_secret, format_token, parse_token
from clients.persistence import PersistenceClient
from shared.domain.accounts import Role, new_user_id
from shared.domain.errors import Conflict, ErrorReason, NotFound
from shared.domain.records import Condition
from shared.domain.tables import API_KEYS
from shared.runtime.clock import iso_now, read_clock

PREFIX = "ck"
MAX_KEYS = 1000
"""API keys of one tenant."""


class ApiKey(Struct, frozen=True):
    """An API key, as it is stored in the table `ApiKeys`."""

    key: str
    digest: str
    name: str
    role: Role
    expires: int
    """Unix seconds."""
    created_at: str
    created_by: str
    """Name of the principal that made it."""


class NewApiKey(NamedTuple):
    """A stored key, and its text, which is shown once."""

    key: ApiKey
    text: str


async def create_api_key(
    records: PersistenceClient, tenant: str, *, name: str, role: Role, seconds: int, created_by: str
) -> NewApiKey:
    """Stores a new key. Raises Conflict if the tenant has too many."""
    if len(await list_api_keys(records)) >= MAX_KEYS:
        raise Conflict(
            f"the tenant has {MAX_KEYS} API keys",
            hint="remove those that nobody uses",
            reason=ErrorReason("keys_full", max=MAX_KEYS),
        )
    secret = draw_secret()
    key = ApiKey(
        key=new_user_id(read_clock()),
        digest=digest_secret(secret),
        name=name,
        role=role,
        expires=int(time.time()) + seconds,
        created_at=iso_now(),
        created_by=created_by,
    )
    await records.put_item(API_KEYS.name, msgspec.to_builtins(key), when=Condition(exists=False))
    return NewApiKey(key, format_token(PREFIX, tenant, (key.key,), secret))


async def list_api_keys(records: PersistenceClient) -> Sequence[ApiKey]:
    """Returns all keys of a tenant that have not expired, oldest first."""
    page = await records.query(API_KEYS.name, "all", page_size=MAX_KEYS)
    return [msgspec.convert(stored.item, ApiKey) for stored in page.items]


async def load_api_key(records: PersistenceClient, key: str) -> ApiKey | None:
    """Returns a key that has not expired."""
    stored = await records.get_item(API_KEYS.name, {"key": key})
    return None if stored.item is None else msgspec.convert(stored.item, ApiKey)


async def delete_api_key(records: PersistenceClient, key: str) -> None:
    """Removes a key. Raises NotFound."""
    if await load_api_key(records, key) is None:
        raise NotFound("there is no such API key", field="id")
    await records.delete_item(API_KEYS.name, {"key": key})


def parse_api_key(text: str) -> SecretToken | None:
    """Returns the parts of an API key; None for other text."""
    return parse_token(text, PREFIX, 1)
