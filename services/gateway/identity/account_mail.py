"""Mail about accounts, composed after the response, which cannot show then who has an account."""

from clients.accounts.accounts import create_account, find_account
from clients.accounts.resets import INVITATION_SECONDS, RESET_SECONDS, link_to_reset, open_reset
from clients.persistence import PersistenceClient
from services.gateway.identity.mail.outbox import MailOutbox
from services.gateway.identity.mail.port import Mail
from services.gateway.identity.mail.texts import write_reset, write_taken, write_welcome
from services.gateway.identity.throttle import LoginThrottle
from services.gateway.upstream.backend import Backend
from shared.domain.accounts import Account
from shared.domain.errors import Conflict


class AccountMail:
    """Puts the messages about accounts into `outbox`; their links begin with `public_url`."""

    def __init__(
        self, backend: Backend[PersistenceClient], outbox: MailOutbox, throttle: LoginThrottle, *, public_url: str
    ) -> None:
        self._backend = backend
        self._outbox = outbox
        self._throttle = throttle
        self._public_url = public_url

    def put_welcome(self, tenant: str, account: Account) -> None:
        """Stores a new account without a password, and sends the link that sets one.

        If the address is taken, its owner gets another message instead. Raises Unavailable.
        """

        async def compose() -> Mail | None:
            records = self._backend.lookups.of(tenant)
            if not await self._throttle.may_mail(records, account.email):
                return None
            reset = open_reset(tenant, account, seconds=INVITATION_SECONDS)
            try:
                await create_account(records, account, password_hash=None, also=[reset.action])
            except Conflict:
                taken = await find_account(records, account.email)
                if taken is None or not taken.active:
                    return None
                reset = open_reset(tenant, taken)
                await records.transact([reset.action])
                return write_taken(taken, link_to_reset(self._public_url, reset.token, taken.roles))
            return write_welcome(account, link_to_reset(self._public_url, reset.token, account.roles))

        self._outbox.put(compose)

    def put_reset(self, tenant: str, email: str) -> None:
        """Sends a link that sets a new password, if the address has an account. Raises Unavailable."""

        async def compose() -> Mail | None:
            records = self._backend.lookups.of(tenant)
            account = await find_account(records, email)
            if account is None or not account.active or not await self._throttle.may_mail(records, email):
                return None
            reset = open_reset(tenant, account, seconds=RESET_SECONDS)
            await records.transact([reset.action])
            return write_reset(account, link_to_reset(self._public_url, reset.token, account.roles))

        self._outbox.put(compose)
