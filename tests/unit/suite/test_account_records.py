"""Accounts, sessions, resets and API keys as records, in this process."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from clients.accounts import accounts, api_keys, resets, sessions
from clients.accounts.secret_tokens import digest_secret, format_token, parse_token
from clients.accounts.sessions import Session, SessionReused
from clients.persistence import PersistenceClient
from shared.domain.accounts import Account
from shared.domain.errors import Conflict, InvalidParams, NotFound, Unauthorized
from shared.domain.tables import PRIVATE
from tests.support.in_process import Suite

MINUTE = 60


@pytest.fixture
async def records(suite: Suite) -> AsyncIterator[PersistenceClient]:
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client.of("shop")


async def add(records: PersistenceClient, email: str = "ana@x.es", password_hash: str | None = "h") -> Account:
    account = accounts.build_account(email, "Ana", "García", ["customer"])
    await accounts.create_account(records, account, password_hash=password_hash)
    return account


async def open_session(records: PersistenceClient, account: Account) -> tuple[Session, str]:
    opened = sessions.open_session(account.user, "token", agent="test", generation=1, seconds=3600)
    await records.transact([opened.action])
    return opened.session, opened.secret


async def test_of_two_registrations_of_one_address_one_gets_it(records: PersistenceClient) -> None:
    results = await asyncio.gather(add(records), add(records), add(records), return_exceptions=True)
    (made,) = [one for one in results if isinstance(one, Account)]
    assert [one.field for one in results if isinstance(one, Conflict)] == ["email", "email"]
    assert await accounts.find_account(records, "ana@x.es") == made
    assert (await accounts.list_accounts(records)).accounts == [made]


async def test_an_account_is_of_one_tenant(records: PersistenceClient, suite: Suite) -> None:
    account = await add(records)
    other = suite.persistence().of("other")
    assert await accounts.load_account(other, account.user) is None
    assert await accounts.find_user(other, account.email) is None
    assert not await accounts.has_accounts(other)
    assert await accounts.has_accounts(records)


async def test_all_accounts_are_listed_once_in_pages(records: PersistenceClient) -> None:
    made = {(await add(records, f"user{number}@x.es")).user for number in range(40)}
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await accounts.list_accounts(records, limit=7, cursor=cursor)
        found += [account.user for account in page.accounts]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.accounts) == 7
    assert len(found) == 40
    assert set(found) == made


@pytest.mark.parametrize("cursor", ["", "x", "16:", "-1:", "3", "٣:", "999:"])
async def test_a_made_up_cursor_is_refused(records: PersistenceClient, cursor: str) -> None:
    with pytest.raises(InvalidParams):
        await accounts.list_accounts(records, cursor=cursor)


async def test_a_new_password_ends_all_sessions_at_once(records: PersistenceClient) -> None:
    account = await add(records)
    assert await accounts.set_password(records, account, "new") == 2
    stored = await accounts.load_hash(records, account.user)
    assert stored is not None
    assert stored.hash == "new"
    with pytest.raises(Conflict):
        await accounts.set_password(records, account, "late")
    changed = await accounts.require_account(records, account.user)
    assert changed.generation == 2


async def test_newer_parameters_never_replace_a_newer_password(records: PersistenceClient) -> None:
    account = await add(records)
    before = await accounts.load_hash(records, account.user)
    assert before is not None
    await accounts.set_password(records, account, "new")
    await accounts.replace_hash(records, account.user, before, "old password, newer parameters")
    stored = await accounts.load_hash(records, account.user)
    assert stored is not None
    assert stored.hash == "new"


async def test_a_blocked_account_has_a_new_generation(records: PersistenceClient) -> None:
    account = await add(records)
    changed = await accounts.change_account(records, account.user, active=False)
    assert (changed.active, changed.generation) == (False, 2)
    changed = await accounts.change_account(records, account.user, roles=["staff"])
    assert (changed.roles, changed.generation) == (["staff"], 2)
    with pytest.raises(NotFound):
        await accounts.change_account(records, "nobody", active=False)
    assert not (await accounts.load_account(records, "nobody"))


async def test_a_deleted_account_leaves_its_address_free(records: PersistenceClient) -> None:
    account = await add(records)
    await accounts.delete_account(records, account)
    assert await accounts.load_hash(records, account.user) is None
    assert await accounts.load_account(records, account.user) is None
    assert (await add(records)).user != account.user


async def test_ten_refreshes_at_once_have_one_successor(records: PersistenceClient) -> None:
    session, secret = await open_session(records, await add(records))
    successors = await asyncio.gather(*(sessions.rotate_session(records, session, secret) for _ in range(10)))
    assert len({secret, *successors}) == 2
    stored = await sessions.load_session(records, session.user, session.session)
    assert stored is not None
    assert (stored.number, stored.expires) == (1, session.expires)
    assert await sessions.rotate_session(records, stored, secret) == successors[0]
    assert await sessions.rotate_session(records, stored, successors[0]) not in (secret, successors[0])


@pytest.mark.parametrize("rotations", [1, 2, 40])
async def test_an_old_token_ends_its_session_after_the_grace_period(
    records: PersistenceClient, monkeypatch: pytest.MonkeyPatch, rotations: int
) -> None:
    account = await add(records)
    session, first = await open_session(records, account)
    other, _ = await open_session(records, account)
    secret, current = first, session
    for _ in range(rotations):
        secret = await sessions.rotate_session(records, current, secret)
        found = await sessions.load_session(records, session.user, session.session)
        assert found is not None
        current = found
    now = time.time() + MINUTE + 1
    monkeypatch.setattr(time, "time", lambda: now)
    with pytest.raises(SessionReused):
        await sessions.rotate_session(records, current, first)
    assert await sessions.load_session(records, session.user, session.session) is None
    with pytest.raises(Unauthorized):
        await sessions.rotate_session(records, current, secret)
    assert [one.session for one in await sessions.list_sessions(records, account.user)] == [other.session]


async def test_a_made_up_token_does_not_end_a_session(records: PersistenceClient) -> None:
    session, secret = await open_session(records, await add(records))
    current = await sessions.rotate_session(records, session, secret)
    found = await sessions.load_session(records, session.user, session.session)
    assert found is not None
    for made_up in ("", "x" * 43, current[:-1] + "~"):
        with pytest.raises(Unauthorized) as refused:
            await sessions.rotate_session(records, found, made_up)
        assert not isinstance(refused.value, SessionReused)
    assert await sessions.rotate_session(records, found, current)


async def test_the_oldest_sessions_make_room(records: PersistenceClient) -> None:
    account = await add(records)
    opened = [(await open_session(records, account))[0].session for _ in range(5)]
    await sessions.make_room(records, account.user, most=3)
    assert {one.session for one in await sessions.list_sessions(records, account.user)} <= set(opened)
    assert len(await sessions.list_sessions(records, account.user)) == 3


async def test_a_reset_works_once_until_it_expires(records: PersistenceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await add(records)
    reset, other = resets.open_reset("shop", account), resets.open_reset("shop", account)
    await records.transact([reset.action, other.action])
    assert resets.tenant_of_reset(reset.token) == "shop"
    stored = await resets.load_reset(records, reset.token)
    assert stored is not None
    assert (stored.user, stored.generation) == (account.user, 1)
    await accounts.set_password(records, account, "new", also=[stored.action])
    assert await resets.load_reset(records, reset.token) is None
    with pytest.raises(Conflict):
        await accounts.set_password(
            records, await accounts.require_account(records, account.user), "again", also=[stored.action]
        )
    now = time.time() + resets.RESET_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: now)
    assert await resets.load_reset(records, other.token) is None


async def test_an_api_key_is_shown_once_and_found_until_it_expires(
    records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await api_keys.create_api_key(records, "shop", name="till", role="staff", seconds=60, created_by="ana@x.es")
    parsed = api_keys.parse_api_key(made.text)
    assert parsed is not None
    assert (parsed.tenant, parsed.names) == ("shop", (made.key.key,))
    found = await api_keys.load_api_key(records, made.key.key)
    assert found is not None
    assert found.digest == digest_secret(parsed.secret)
    assert await api_keys.list_api_keys(records) == [found]
    now = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: now)
    assert await api_keys.load_api_key(records, made.key.key) is None
    with pytest.raises(NotFound):
        await api_keys.delete_api_key(records, made.key.key)


async def test_no_secret_is_stored_or_in_the_feed(records: PersistenceClient, suite: Suite) -> None:
    account = await add(records, password_hash="$argon2id$hash")
    session, secret = await open_session(records, account)
    successor = await sessions.rotate_session(records, session, secret)
    reset = resets.open_reset("shop", account)
    await records.transact([reset.action])
    key = await api_keys.create_api_key(records, "shop", name="k", role="staff", seconds=60, created_by="x")
    feed = await records.changes(None)
    assert {change.table for change in feed.changes}.isdisjoint(PRIVATE)
    stored = repr(vars(suite.records))
    for one in (secret, successor, reset.token.split(".")[-1], key.text.split(".")[-1]):
        assert one not in stored
    assert "argon2id" not in repr(feed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ck",
        "ck.main.k",
        "rt.main.00." + "x" * 43,
        "ck.main.00." + "x" * 42,
        "ck..00." + "x" * 43,
        "ck.MAIN.00." + "x" * 43,
        "ck.main.zz." + "x" * 43,
        "ck.main.00." + "x" * 43 + ".",
        "ck.main.00." + "x" * 43 + "\n",
        "ck.main\n.00." + "x" * 43,
        "ck.main." + "0" * 300 + "." + "x" * 43,
    ],
)
def test_text_that_is_no_token_has_no_parts(text: str) -> None:
    assert parse_token(text, "ck", 1) is None


def test_a_token_has_the_parts_that_it_was_made_of() -> None:
    parsed = parse_token(format_token("", "main", ("0a", "0b"), "x" * 43), "", 2)
    assert parsed == ("main", ("0a", "0b"), "x" * 43)
