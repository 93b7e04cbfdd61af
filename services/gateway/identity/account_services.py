"""Services that the routes of accounts share, built from the settings."""

import secrets

from clients.persistence import PersistenceClient
from services.gateway.identity.account_mail import AccountMail
from services.gateway.identity.blocklist import FrequentPasswords
from services.gateway.identity.hashing import PasswordHashing
from services.gateway.identity.mail.outbox import open_outbox
from services.gateway.identity.sessions import AccountCredentials
from services.gateway.identity.sign_in import SignIns
from services.gateway.identity.throttle import LoginThrottle
from services.gateway.identity.tokens import TokenSigner, parse_keys
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.backend import Backend
from shared.domain.accounts import Account
from shared.domain.passwords import check_new_password

_KEY_BYTES = 32
_DAY_SECONDS = 86_400
_HOUR_SECONDS = 3600


class AccountServices:
    """The parts behind accounts: hashing, tokens, sessions, pauses, and mail where it is set. Raises StartupError."""

    def __init__(self, settings: GatewaySettings, backend: Backend[PersistenceClient]) -> None:
        self.backend = backend
        self.encrypted = settings.has_encrypted_clients
        self.hashing = PasswordHashing(memory_kib=settings.password_memory_kib, rounds=settings.password_rounds)
        # Without a key, which is for development, access tokens end with the process; sessions do not.
        keys = parse_keys(settings.jwt_keys, settings.jwt_secret) or {"start": secrets.token_bytes(_KEY_BYTES)}
        signer = TokenSigner(keys)
        self.credentials = AccountCredentials(backend, signer)
        self.throttle = LoginThrottle()
        self.sign_ins = SignIns(
            backend,
            signer,
            self.credentials,
            self.throttle,
            refresh_seconds=int(settings.refresh_token_days * _DAY_SECONDS),
            cookie_seconds=int(settings.session_cookie_hours * _HOUR_SECONDS),
            max_sessions=settings.max_sessions_per_account,
        )
        self.mail: AccountMail | None = None
        self._outbox = open_outbox(settings.smtp_url, settings.mail_from)
        if self._outbox is not None:
            self.mail = AccountMail(backend, self._outbox, self.throttle, public_url=settings.link_base)
        self._frequent = FrequentPasswords()
        self._least_password = settings.least_password

    def check_password(self, password: str, account: Account, tenant: str, *, field: str = "password") -> str:
        """Returns a new password of an account in its normal form. Raises InvalidParams, which names the rule."""
        return check_new_password(
            password,
            minimum=self._least_password,
            frequent=self._frequent,
            personal=(account.email, account.first_name, account.last_name, tenant),
            field=field,
        )

    def close(self) -> None:
        """Ends the threads."""
        self.hashing.close()
        if self._outbox is not None:
            self._outbox.close()
