"""Growing pauses after failed sign-ins. Accounts are never locked: that could be used against their owners.

Failures are counted for an account and a network together, and, with ten times as many allowed, for the account alone.
An attempt is counted before its password is checked, and a success removes the counts, so that attempts at the same
time cannot slip through. Addresses without an account are counted alike.
"""

import hashlib
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from clients.persistence import PersistenceClient
from shared.domain.errors import ErrorReason, RateLimited
from shared.domain.records import Action, Delete, Update
from shared.domain.tables import LOGIN_FAILURES
from shared.net.addresses import address_key

FREE_FAILURES = 5
"""Failures from one network before the first pause."""
ACCOUNT_FACTOR = 10
"""How many times as many an account may have from all networks."""
MAX_PAUSE_SECONDS = 900
_KEPT_SECONDS = 86_400
_MAX_DOUBLINGS = 10
_MAX_MAILS = 3
_MAIL_SECONDS = 3600


class Attempt(NamedTuple):
    """The counters of one attempt to sign in."""

    pair: str
    account: str

    @property
    def subjects(self) -> tuple[str, str]:
        """Returns the keys of both counters."""
        return (self.pair, self.account)


class LoginThrottle:
    """Counts failures in the table `LoginFailures` of the tenant whose `records` are given."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    async def begin_attempt(self, records: PersistenceClient, email: str, address: str) -> Attempt:
        """Counts an attempt as failed until `end_attempt`. Raises RateLimited during a pause.

        `email` is in normal form.
        """
        attempt = _name_counters(email, address)
        now = self._clock()
        stored = await records.get_items(LOGIN_FAILURES.name, [{"subject": one} for one in attempt.subjects])
        seen = [0 if one.item is None else int(one.item["count"]) for one in stored]
        pauses = [
            0.0 if one.item is None else float(one.item["last"]) / 1000 + compute_pause(count, factor) - now
            for one, count, factor in zip(stored, seen, (1, ACCOUNT_FACTOR), strict=True)
        ]
        if max(pauses) > 0:
            raise _refuse(max(pauses))
        counted = await records.transact([self._count(subject, now) for subject in attempt.subjects])
        # Attempts that were counted in between began their pause just now.
        for one, before, factor in zip(counted, seen, (1, ACCOUNT_FACTOR), strict=True):
            assert one.item is not None
            others = int(one.item["count"]) - 1
            if others > before and (pause := compute_pause(others, factor)) > 0:
                raise _refuse(pause)
        return attempt

    async def end_attempt(self, records: PersistenceClient, attempt: Attempt) -> None:
        """Removes the counts after a success."""
        removed: list[Action] = [Delete(LOGIN_FAILURES.name, {"subject": one}) for one in attempt.subjects]
        await records.transact(removed, safe=True)

    async def clear(self, records: PersistenceClient, email: str, address: str) -> None:
        """Removes the counts of an account and a network after its password was reset."""
        await self.end_attempt(records, _name_counters(email, address))

    async def may_mail(self, records: PersistenceClient, email: str) -> bool:
        """Counts a message to an address; returns False beyond three in an hour: nobody can flood a mailbox."""
        counted = await records.transact(
            [
                Update(
                    LOGIN_FAILURES.name,
                    {"subject": _digest("mail", email)},
                    add={"count": 1},
                    create={"expires": int(self._clock()) + _MAIL_SECONDS},
                )
            ]
        )
        item = counted[0].item
        return item is not None and int(item["count"]) <= _MAX_MAILS

    def _count(self, subject: str, now: float) -> Update:
        return Update(
            LOGIN_FAILURES.name,
            {"subject": subject},
            set={"last": int(now * 1000), "expires": int(now) + _KEPT_SECONDS},
            add={"count": 1},
        )


def compute_pause(failures: int, factor: int = 1) -> int:
    """Returns the pause in seconds after this many failures: none for the first ones, then 1, 2, 4 and so on to 900."""
    beyond = failures - FREE_FAILURES * factor
    return 0 if beyond < 0 else min(2 ** min(beyond, _MAX_DOUBLINGS), MAX_PAUSE_SECONDS)


def _name_counters(email: str, address: str) -> Attempt:
    return Attempt(_digest("pair", email, address_key(address)), _digest("account", email))


def _digest(*parts: str) -> str:
    # Addresses of people do not become keys in plain text; a digest also has one length.
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _refuse(pause: float) -> RateLimited:
    return RateLimited(
        "too many failed sign-ins",
        hint="wait, or set a new password",
        details={"retry_after_ms": math.ceil(pause * 1000)},
        reason=ErrorReason("sign_ins_paused"),
    )
