"""Members of tenants with every kind of credentials, without the time that hashing a password takes."""

from typing import NamedTuple

from clients.accounts.accounts import build_account, create_account
from clients.accounts.api_keys import create_api_key
from clients.accounts.secret_tokens import format_token
from clients.accounts.sessions import open_session
from clients.persistence import PersistenceClient
from services.gateway.identity.tokens import TokenSigner, parse_keys
from shared.domain.accounts import Role
from tests.support.in_process import JWT_KEYS

_HOUR = 3600


class Member(NamedTuple):
    """Headers with the credentials of one account or key."""

    user: str
    token: dict[str, str]
    cookie: dict[str, str]
    key: dict[str, str]


async def add_member(records: PersistenceClient, tenant: str, role: Role) -> Member:
    """Stores an account and an API key with a role in a tenant."""
    own = records.of(tenant)
    account = build_account(f"{role}@{tenant}.example", role, tenant, [role])
    by_token, by_cookie = (
        open_session(account.user, kind, agent="", generation=account.generation, seconds=_HOUR)
        for kind in ("token", "cookie")
    )
    await create_account(own, account, password_hash=None, also=[by_token.action, by_cookie.action])
    key = await create_api_key(own, tenant, name=role, role=role, seconds=_HOUR, created_by="the tests")
    signed, _ = TokenSigner(parse_keys(JWT_KEYS, None)).sign(
        user=account.user,
        tenant=tenant,
        session=by_token.session.session,
        roles=account.roles,
        generation=account.generation,
    )
    cookie = format_token("", tenant, (account.user, by_cookie.session.session), by_cookie.secret)
    return Member(
        account.user,
        {"Authorization": f"Bearer {signed}"},
        {"Cookie": f"comanda_session={cookie}"},
        {"Authorization": f"Bearer {key.text}"},
    )
