"""Sessions of accounts: what a refresh token or a session cookie stands for.

A refresh token rotates: each use replaces its secret by a successor. Within 60 seconds the old token gives the same
successor again, since several tabs refresh at once and answers get lost; later it is taken for stolen and ends the
session. The successor is the HMAC of the secret under the session's key, so it need not be stored.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from clients.accounts.secret_tokens import digest_secret, draw_secret
from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient
from shared.domain.accounts import new_user_id
from shared.domain.errors import ErrorReason, Unauthorized
from shared.domain.records import Action, Condition, Delete, Put
from shared.domain.tables import SESSIONS
from shared.runtime.clock import iso_now, read_clock

GRACE_SECONDS = 60
SessionKind = Literal["token", "cookie"]
"""Of a program with bearer tokens, or of a browser."""

_AGENT_CHARACTERS = 200
_KEY_BYTES = 32
_ATTEMPTS = 3
# How many rotations back a token is still recognised as an old one of its session: a microsecond each.
_MAX_STEPS = 1000
_BATCH = 100


class Session(Struct, frozen=True):
    """A session, as it is stored in the table `Sessions`."""

    user: str
    session: str
    secret: str
    """Digest of the current secret."""
    key: str
    """Key from which the successors of the secret are derived; useless without a secret."""
    number: int
    """Number of rotations."""
    rotated_at: int
    """Unix seconds of the last rotation."""
    kind: SessionKind
    agent: str
    """Header User-Agent of the sign-in, for the user's list."""
    generation: int
    """Generation of the account at the sign-in."""
    created_at: str
    expires: int
    """Unix seconds."""


class OpenedSession(NamedTuple):
    """A session that is not stored yet, its secret, and the action that stores it."""

    session: Session
    secret: str
    action: Action


class SessionReused(Unauthorized):
    """An old refresh token was used again: its session has been ended."""


def open_session(user: str, kind: SessionKind, *, agent: str, generation: int, seconds: int) -> OpenedSession:
    """Returns a new session of an account, which lasts at most `seconds`."""
    now, secret = int(time.time()), draw_secret()
    session = Session(
        user=user,
        session=new_user_id(read_clock()),
        secret=digest_secret(secret),
        key=secrets.token_hex(_KEY_BYTES),
        number=0,
        rotated_at=now,
        kind=kind,
        agent=agent[:_AGENT_CHARACTERS],
        generation=generation,
        created_at=iso_now(),
        expires=now + seconds,
    )
    return OpenedSession(session, secret, Put(SESSIONS.name, msgspec.to_builtins(session), Condition(exists=False)))


async def load_session(records: PersistenceClient, user: str, session: str) -> Session | None:
    """Returns a session that has not expired."""
    stored = await records.get_item(SESSIONS.name, {"user": user, "session": session})
    return None if stored.item is None else msgspec.convert(stored.item, Session)


async def rotate_session(records: PersistenceClient, found: Session, secret: str) -> str:
    """Returns the secret that follows `secret`; of any number of concurrent calls, the same one.

    Raises Unauthorized for a secret that is not of this session, and SessionReused for an old one after the grace
    period; the session has been ended then.
    """
    session: Session | None = found
    for _ in range(_ATTEMPTS):
        if session is None:
            break
        successor = _derive_successor(session, secret)
        if hmac.compare_digest(digest_secret(secret), session.secret):
            try:
                await records.update_item(
                    SESSIONS.name,
                    {"user": session.user, "session": session.session},
                    {
                        "secret": digest_secret(successor),
                        "number": session.number + 1,
                        "rotated_at": int(time.time()),
                    },
                    when=Condition(equal={"secret": session.secret}),
                )
            except Refused as refusal:
                if not is_conflict(refusal):
                    raise
                session = await load_session(records, session.user, session.session)
                continue
            return successor
        in_grace = time.time() - session.rotated_at <= GRACE_SECONDS
        if in_grace and hmac.compare_digest(digest_secret(successor), session.secret):
            return successor
        if not in_grace and _is_old_secret(session, successor):
            await end_session(records, session.user, session.session)
            raise SessionReused("the refresh token was used before: its session has ended", hint="sign in again")
        break
    raise Unauthorized("the refresh token is not valid", hint="sign in again", reason=ErrorReason("session_ended"))


async def end_session(records: PersistenceClient, user: str, session: str) -> None:
    """Ends a session if it exists."""
    await records.delete_item(SESSIONS.name, {"user": user, "session": session})


async def list_sessions(records: PersistenceClient, user: str, *, limit: int = _BATCH) -> Sequence[Session]:
    """Returns the first sessions of an account, oldest first."""
    page = await records.query(SESSIONS.name, partition=user, page_size=limit)
    return [msgspec.convert(stored.item, Session) for stored in page.items]


async def end_sessions(records: PersistenceClient, user: str, sessions: Sequence[Session]) -> None:
    """Ends these sessions of an account."""
    for start in range(0, len(sessions), _BATCH):
        ended: list[Action] = [
            Delete(SESSIONS.name, {"user": user, "session": one.session}) for one in sessions[start : start + _BATCH]
        ]
        await records.batch(ended, safe=True)


async def make_room(records: PersistenceClient, user: str, *, most: int) -> None:
    """Ends the oldest sessions of an account beyond `most`."""
    found = await list_sessions(records, user, limit=most + _BATCH)
    if len(found) > most:
        await end_sessions(records, user, found[: len(found) - most])


def _derive_successor(session: Session, secret: str) -> str:
    derived = hmac.digest(bytes.fromhex(session.key), secret.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(derived).decode().rstrip("=")


def _is_old_secret(session: Session, successor: str) -> bool:
    """Whether the chain of successors reaches the current secret."""
    for _ in range(min(session.number, _MAX_STEPS)):
        if digest_secret(successor) == session.secret:
            return True
        successor = _derive_successor(session, successor)
    return False
