"""Sessions and API keys of requests, looked up once in ten seconds.

What one gateway ends is refused by that gateway at once, and by the others within ten seconds.
"""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from clients.accounts.accounts import load_account
from clients.accounts.api_keys import load_api_key, parse_api_key
from clients.accounts.secret_tokens import digest_secret, parse_token
from clients.accounts.sessions import Session, load_session
from clients.persistence import PersistenceClient
from services.gateway.http.principal import Principal
from services.gateway.identity.tokens import Claims, TokenSigner
from services.gateway.upstream.backend import Backend
from shared.domain.accounts import Account
from shared.domain.errors import ErrorReason, Unauthorized

CACHE_SECONDS = 10.0
_MAX_ENTRIES = 10_000


class ActiveSession(NamedTuple):
    """A session that is in force, and its account."""

    account: Account
    session: Session


class _Entry(NamedTuple):
    """A looked-up session or API key, with the principal that requests with it have."""

    until: float
    principal: Principal
    generation: int
    digest: str


class AccountCredentials:
    """Authenticates requests by access tokens, session cookies and API keys, and notices when these end."""

    def __init__(
        self,
        records: Backend[PersistenceClient],
        signer: TokenSigner,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_entries: int = _MAX_ENTRIES,
    ) -> None:
        self._records = records
        self._signer = signer
        self._clock = clock
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()
        self._endings = 0
        """Counts what was ended here, so that a lookup that began before is not kept."""

    async def authenticate_token(self, token: str) -> Principal:
        """Returns the principal of an access token. Raises Unauthorized."""
        claims = self._signer.verify(token)
        entry = await self._find_session(claims.tenant, claims.sub, claims.sid)
        if entry is None or entry.generation != claims.gen:
            raise _refuse_ended()
        return entry.principal

    async def authenticate_session(self, token: str) -> Principal:
        """Returns the principal of the token in a session cookie. Raises Unauthorized."""
        parsed = parse_token(token, "", 2)
        if parsed is None:
            raise _refuse_ended()
        user, session = parsed.names
        entry = await self._find_session(parsed.tenant, user, session, kind="cookie")
        if entry is None or not hmac.compare_digest(digest_secret(parsed.secret), entry.digest):
            raise _refuse_ended()
        return entry.principal

    async def authenticate_key(self, token: str) -> Principal:
        """Returns the principal of an API key. Raises Unauthorized."""
        parsed = parse_api_key(token)
        if parsed is None:
            raise _refuse_key()
        entry = await self._find_key(parsed.tenant, parsed.names[0])
        if entry is None or not hmac.compare_digest(digest_secret(parsed.secret), entry.digest):
            raise _refuse_key()
        return entry.principal

    async def load_active_session(self, tenant: str, user: str, session: str) -> ActiveSession | None:
        """Returns a session from the store if it is in force: its account is not blocked, and has its generation."""
        records = self._records.lookups.of(tenant)
        account, found = await asyncio.gather(load_account(records, user), load_session(records, user, session))
        if account is None or found is None or not account.active or account.generation != found.generation:
            return None
        return ActiveSession(account, found)

    def read_claims(self, token: str) -> Claims:
        """Returns the claims of an access token. Raises Unauthorized."""
        return self._signer.verify(token)

    def forget(self, tenant: str, *names: str) -> None:
        """Looks everything below these names up again: a user, a user's session, or an API key."""
        self._endings += 1
        prefix = (tenant, *names)
        for key in [key for key in self._entries if key[: len(prefix)] == prefix]:
            del self._entries[key]

    async def _find_session(self, tenant: str, user: str, session: str, kind: str | None = None) -> _Entry | None:
        key = (tenant, user, session) if kind is None else (tenant, user, session, kind)
        entry = self._get_entry(key)
        if entry is not None:
            return entry
        endings = self._endings
        active = await self.load_active_session(tenant, user, session)
        if active is None or (kind is not None and active.session.kind != kind):
            return None
        account = active.account
        principal = Principal(
            tenant=tenant,
            kind="account",
            user=user,
            roles=frozenset(account.roles),
            session=session,
            name=account.email,
        )
        return self._keep_entry(
            key, _Entry(self._clock() + CACHE_SECONDS, principal, account.generation, active.session.secret), endings
        )

    async def _find_key(self, tenant: str, key_id: str) -> _Entry | None:
        key = (tenant, key_id)
        entry = self._get_entry(key)
        if entry is not None:
            return entry
        endings = self._endings
        found = await load_api_key(self._records.lookups.of(tenant), key_id)
        if found is None:
            return None
        principal = Principal(
            tenant=tenant, kind="api_key", roles=frozenset((found.role,)), name=f"key {found.name} ({found.key})"
        )
        return self._keep_entry(key, _Entry(self._clock() + CACHE_SECONDS, principal, 0, found.digest), endings)

    def _get_entry(self, key: tuple[str, ...]) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    def _keep_entry(self, key: tuple[str, ...], entry: _Entry, endings: int) -> _Entry:
        if endings == self._endings:
            if len(self._entries) >= self._max_entries:
                self._entries.popitem(last=False)
            self._entries[key] = entry
        return entry


def _refuse_ended() -> Unauthorized:
    return Unauthorized(
        "the session has ended", field="Authorization", hint="sign in again", reason=ErrorReason("session_ended")
    )


def _refuse_key() -> Unauthorized:
    return Unauthorized(
        "the API key is not valid",
        field="Authorization",
        hint="ask an administrator for a new one",
        reason=ErrorReason("token_invalid"),
    )
