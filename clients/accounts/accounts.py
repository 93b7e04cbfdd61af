"""Accounts of a tenant, with the claims of their e-mail addresses and their password hashes.

Every change that needs several items is one transaction, so an account is whole whenever a process is killed.
`records` is the view of a tenant: `PersistenceClient.of(tenant)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from shared.domain.accounts import SHARDS, Account, Preferences, Role, new_user_id, shard_of
from shared.domain.errors import Conflict, ErrorReason, InvalidParams, NotFound
from shared.domain.records import Action, Condition, Delete, Put, Update
from shared.domain.tables import ACCOUNT_EMAILS, ACCOUNTS, CREDENTIALS
from shared.runtime.clock import iso_now, read_clock

_PAGE = 100


class StoredHash(NamedTuple):
    """The password hash of an account, and the version of its item."""

    hash: str
    version: int


class AccountPage(NamedTuple):
    """Accounts of a tenant; `cursor` continues with the next page."""

    accounts: Sequence[Account]
    cursor: str | None


def build_account(
    email: str,
    first_name: str,
    last_name: str,
    roles: Sequence[Role],
    preferences: Preferences | None = None,
) -> Account:
    """Returns a new account that is not stored yet; `email` is in normal form."""
    user, now = new_user_id(read_clock()), iso_now()
    return Account(
        user=user,
        email=email,
        first_name=first_name,
        last_name=last_name,
        preferences=preferences or Preferences(),
        roles=list(roles),
        active=True,
        created_at=now,
        updated_at=now,
        generation=1,
        shard=shard_of(user),
    )


async def create_account(
    records: PersistenceClient, account: Account, *, password_hash: str | None, also: Sequence[Action] = ()
) -> None:
    """Stores a new account, the claim of its address, its password hash, and `also`, in one transaction.

    Without a hash nobody can sign in until a password is set. Raises Conflict if the address is taken.
    """
    actions: list[Action] = [
        Put(ACCOUNT_EMAILS.name, {"email": account.email, "user": account.user}, Condition(exists=False)),
        Put(ACCOUNTS.name, msgspec.to_builtins(account), Condition(exists=False)),
    ]
    if password_hash is not None:
        actions.append(_put_hash(account.user, password_hash))
    try:
        await records.transact([*actions, *also])
    except Refused as refusal:
        if is_conflict(refusal):
            raise Conflict(
                "an account has this e-mail address", field="email", reason=ErrorReason("email_taken")
            ) from None
        raise


async def find_user(records: PersistenceClient, email: str) -> str | None:
    """Returns the id of the account with this address, which is in normal form."""
    stored = await records.get_item(ACCOUNT_EMAILS.name, {"email": email})
    return None if stored.item is None else stored.item["user"]


async def find_account(records: PersistenceClient, email: str) -> Account | None:
    """Returns the account with this address, which is in normal form."""
    user = await find_user(records, email)
    return None if user is None else await load_account(records, user)


async def load_account(records: PersistenceClient, user: str) -> Account | None:
    """Returns an account."""
    return _read_account(await records.get_item(ACCOUNTS.name, {"user": user}))


async def require_account(records: PersistenceClient, user: str) -> Account:
    """Returns an account. Raises NotFound."""
    account = await load_account(records, user)
    if account is None:
        raise NotFound("there is no such account", field="id", reason=ErrorReason("account_unknown"))
    return account


async def load_hash(records: PersistenceClient, user: str) -> StoredHash | None:
    """Returns the password hash of an account; None without a password."""
    stored = await records.get_item(CREDENTIALS.name, {"user": user})
    return None if stored.item is None else StoredHash(stored.item["hash"], stored.version)


async def replace_hash(records: PersistenceClient, user: str, before: StoredHash, password_hash: str) -> None:
    """Stores the same password's hash with newer parameters, unless the password was changed meanwhile."""
    try:
        await records.put_item(
            CREDENTIALS.name, _hash_item(user, password_hash), when=Condition(version=before.version)
        )
    except Refused as refusal:
        if not is_conflict(refusal):
            raise


async def set_password(
    records: PersistenceClient, account: Account, password_hash: str, *, also: Sequence[Action] = ()
) -> int:
    """Stores a new password hash, ends all sessions, and performs `also`, in one transaction.

    Returns the new generation of the account. Raises Conflict if the password was changed meanwhile.
    """
    actions: list[Action] = [
        _put_hash(account.user, password_hash),
        Update(
            ACCOUNTS.name,
            {"user": account.user},
            set={"updated_at": iso_now()},
            add={"generation": 1},
            when=Condition(equal={"generation": account.generation}),
        ),
        *also,
    ]
    try:
        await records.transact(actions)
    except Refused as refusal:
        if is_conflict(refusal):
            raise Conflict("the account was changed meanwhile", hint="try again", reason=ErrorReason("busy")) from None
        raise
    return account.generation + 1


async def change_account(
    records: PersistenceClient,
    user: str,
    *,
    members: Mapping[str, Any] = {},
    roles: Sequence[Role] | UnsetType = UNSET,
    active: bool | UnsetType = UNSET,
) -> Account:
    """Changes an account; a change of `active` also ends all sessions. Raises NotFound."""
    changed: dict[str, Any] = {**members, "updated_at": iso_now()}
    if roles is not UNSET:
        changed["roles"] = list(roles)
    if active is not UNSET:
        changed["active"] = active
    update = Update(
        ACCOUNTS.name,
        {"user": user},
        set=changed,
        add={} if active is UNSET else {"generation": 1},
        when=Condition(exists=True),
    )
    try:
        (stored,) = await records.transact([update])
    except Refused as refusal:
        if is_conflict(refusal):
            raise NotFound("there is no such account", field="id", reason=ErrorReason("account_unknown")) from None
        raise
    account = _read_account(stored)
    assert account is not None
    return account


async def delete_account(records: PersistenceClient, account: Account) -> None:
    """Removes an account with the claim of its address and its password. Its sessions are void without it."""
    await records.transact(
        [
            Delete(ACCOUNT_EMAILS.name, {"email": account.email}, Condition(equal={"user": account.user})),
            Delete(CREDENTIALS.name, {"user": account.user}),
            Delete(ACCOUNTS.name, {"user": account.user}),
        ]
    )


async def list_accounts(records: PersistenceClient, *, limit: int = _PAGE, cursor: str | None = None) -> AccountPage:
    """Returns a page of all accounts, shard by shard and by time of creation within one.

    Raises InvalidParams for a cursor that is not one of this list.
    """
    shard, after = _read_cursor(cursor)
    found: list[Account] = []
    while True:
        page = await records.query(
            ACCOUNTS.name, "by_shard", partition=shard, page_size=limit - len(found), cursor=after
        )
        found += [account for stored in page.items if (account := _read_account(stored)) is not None]
        after = page.cursor
        if after is None:
            shard += 1
        if shard == SHARDS:
            return AccountPage(found, None)
        if len(found) >= limit:
            return AccountPage(found, f"{shard}:{after or ''}")


async def has_accounts(records: PersistenceClient) -> bool:
    """Whether the tenant has any account."""
    return bool((await list_accounts(records, limit=1)).accounts)


def _read_cursor(cursor: str | None) -> tuple[int, str | None]:
    if cursor is None:
        return 0, None
    shard, colon, after = cursor.partition(":")
    if not (colon and shard.isascii() and shard.isdigit() and len(shard) < 3 and int(shard) < SHARDS):
        raise InvalidParams(
            "cursor is not one of this list",
            field="cursor",
            hint="leave it out to begin",
            reason=ErrorReason("cursor_invalid"),
        )
    return int(shard), after or None


def _read_account(stored: StoredItem) -> Account | None:
    return None if stored.item is None else msgspec.convert(stored.item, Account)


def _put_hash(user: str, password_hash: str) -> Put:
    return Put(CREDENTIALS.name, _hash_item(user, password_hash))


def _hash_item(user: str, password_hash: str) -> dict[str, Any]:
    return {"user": user, "hash": password_hash, "changed": iso_now()}
