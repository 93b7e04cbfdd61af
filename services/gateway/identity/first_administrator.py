"""The first administrator of the installation: made at the first start, with a link that sets the password."""

import asyncio
import sys

from clients.accounts.accounts import build_account, create_account, has_accounts
from clients.accounts.resets import INVITATION_SECONDS, link_to_reset, open_reset
from clients.persistence import PersistenceClient
from shared.domain.errors import ComandaError, Conflict
from shared.domain.tenants import MAIN
from shared.runtime.backoff import Backoff

FIRST_EMAIL = "admin@localhost"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


async def invite_first_administrator(records: PersistenceClient, public_url: str) -> str | None:
    """Stores the first administrator of the tenant `main`, without a password; returns the link that sets it.

    Returns None if there is any account. Of several gateways, one makes it.
    """
    if await has_accounts(records):
        return None
    account = build_account(FIRST_EMAIL, "Admin", "Comanda", ["admin"])
    reset = open_reset(MAIN, account, seconds=INVITATION_SECONDS)
    try:
        await create_account(records, account, password_hash=None, also=[reset.action])
    except Conflict:
        return None
    return link_to_reset(public_url, reset.token, account.roles)


async def announce_first_administrator(records: PersistenceClient, public_url: str) -> None:
    """Invites the first administrator as soon as the persistence server answers, and shows the link once.

    The link goes to the terminal and not to the log, which may be sent elsewhere.
    """
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    while True:
        try:
            link = await invite_first_administrator(records, public_url)
        except ComandaError:
            # The server is starting, or its log says what is wrong.
            await asyncio.sleep(backoff.next_delay())
            continue
        if link is not None:
            sys.stderr.write(f"Choose the password of the administrator {FIRST_EMAIL} within 24 hours:\n{link}\n")
        return
