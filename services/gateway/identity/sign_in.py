"""Sign-in, and the sessions that it opens."""

import asyncio
from typing import NamedTuple

from clients.accounts.accounts import StoredHash, find_user, load_account, load_hash, replace_hash
from clients.accounts.secret_tokens import format_token, parse_token
from clients.accounts.sessions import OpenedSession, SessionKind, make_room, open_session, rotate_session
from clients.persistence import PersistenceClient
from services.gateway.identity.hashing import HashingPlace
from services.gateway.identity.sessions import AccountCredentials
from services.gateway.identity.throttle import LoginThrottle
from services.gateway.identity.tokens import TokenSigner
from services.gateway.upstream.backend import Backend
from shared.domain.accounts import Account, normalize_email
from shared.domain.errors import ErrorReason, Unauthorized
from shared.domain.passwords import normalize_password

REFRESH_PREFIX = "rt"
# Looked up for addresses without an account, so that these take as long.
_NOBODY = "00000000-0000-7000-8000-000000000000"


class Client(NamedTuple):
    """The program that signs in."""

    address: str
    agent: str
    kind: SessionKind


class SignedIn(NamedTuple):
    """An account that has signed in, with the secrets of its session."""

    account: Account
    tenant: str
    kind: SessionKind
    token: str
    """Access token."""
    expires: int
    """Its expiry in Unix seconds."""
    secret: str
    """Refresh token of a program, or token for the cookie of a browser."""
    seconds: int
    """How long the session lasts."""


class SignIns:
    """Signs accounts in, and opens their sessions."""

    def __init__(
        self,
        backend: Backend[PersistenceClient],
        signer: TokenSigner,
        credentials: AccountCredentials,
        throttle: LoginThrottle,
        *,
        refresh_seconds: int,
        cookie_seconds: int,
        max_sessions: int,
    ) -> None:
        self._backend = backend
        self._signer = signer
        self._credentials = credentials
        self._throttle = throttle
        self._seconds: dict[SessionKind, int] = {"token": refresh_seconds, "cookie": cookie_seconds}
        self._max_sessions = max_sessions

    async def sign_in(self, place: HashingPlace, tenant: str, email: str, password: str, client: Client) -> SignedIn:
        """Returns an account that has signed in with its password, which is checked in `place`.

        Unknown, blocked and passwordless accounts, and wrong passwords, end in the same Unauthorized after the same
        time. Raises RateLimited during a pause, and InvalidParams for what cannot be an address or a password.
        """
        address, password = normalize_email(email), normalize_password(password)
        records = self._backend.lookups.of(tenant)
        attempt = await self._throttle.begin_attempt(records, address, client.address)
        user = await find_user(records, address) or _NOBODY
        account, stored = await asyncio.gather(load_account(records, user), load_hash(records, user))
        usable = stored if account is not None and account.active else None
        right = await place.verify(None if usable is None else usable.hash, password)
        if not right or account is None or usable is None:
            raise Unauthorized(
                "Credenciales inválidas",
                hint="check the e-mail address and the password",
                reason=ErrorReason("credentials_wrong"),
            )
        await self._renew_hash(records, place, user, usable, password)
        await self._throttle.end_attempt(records, attempt)
        opened = self.prepare_session(account, client)
        await records.transact([opened.action])
        await make_room(records, account.user, most=self._max_sessions)
        return self.describe_session(tenant, account, opened)

    def prepare_session(self, account: Account, client: Client) -> OpenedSession:
        """Returns a new session that is not stored yet."""
        return open_session(
            account.user,
            client.kind,
            agent=client.agent,
            generation=account.generation,
            seconds=self._seconds[client.kind],
        )

    def describe_session(self, tenant: str, account: Account, opened: OpenedSession) -> SignedIn:
        """Returns a stored session with its tokens."""
        session = opened.session
        prefix = REFRESH_PREFIX if session.kind == "token" else ""
        secret = format_token(prefix, tenant, (account.user, session.session), opened.secret)
        return self._sign(tenant, account, session.session, session.kind, secret)

    async def refresh(self, token: str) -> SignedIn:
        """Returns the session of a refresh token with a new access token and the token's successor.

        Raises Unauthorized.
        """
        parsed = parse_token(token, REFRESH_PREFIX, 2)
        if parsed is None:
            raise Unauthorized(
                "the refresh token is not valid",
                field="refresh_token",
                hint="sign in again",
                reason=ErrorReason("session_ended"),
            )
        user, session = parsed.names
        active = await self._credentials.load_active_session(parsed.tenant, user, session)
        if active is None or active.session.kind != "token":
            raise Unauthorized(
                "the session has ended",
                field="refresh_token",
                hint="sign in again",
                reason=ErrorReason("session_ended"),
            )
        records = self._backend.lookups.of(parsed.tenant)
        try:
            successor = await rotate_session(records, active.session, parsed.secret)
        except Unauthorized:
            self._credentials.forget(parsed.tenant, user, session)
            raise
        secret = format_token(REFRESH_PREFIX, parsed.tenant, parsed.names, successor)
        return self._sign(parsed.tenant, active.account, session, "token", secret)

    def _sign(self, tenant: str, account: Account, session: str, kind: SessionKind, secret: str) -> SignedIn:
        token, expires = self._signer.sign(
            user=account.user,
            tenant=tenant,
            session=session,
            roles=account.roles,
            generation=account.generation,
        )
        return SignedIn(account, tenant, kind, token, expires, secret, self._seconds[kind])

    async def _renew_hash(
        self, records: PersistenceClient, place: HashingPlace, user: str, stored: StoredHash, password: str
    ) -> None:
        if place.needs_rehash(stored.hash):
            await replace_hash(records, user, stored, await place.hash(password))
