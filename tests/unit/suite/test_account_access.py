"""Sessions, API keys and pauses as the gateway sees them, in this process."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from clients.accounts import accounts, api_keys, sessions
from clients.accounts.secret_tokens import format_token
from clients.persistence import PersistenceClient
from services.gateway.identity.sessions import CACHE_SECONDS, AccountCredentials
from services.gateway.identity.throttle import LoginThrottle, compute_pause
from services.gateway.identity.tokens import TokenSigner
from services.gateway.upstream.backend import Backend
from shared.domain.accounts import Account
from shared.domain.errors import RateLimited, Unauthorized
from tests.support.in_process import Suite

SIGNER = TokenSigner({"a": b"k" * 32})


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def backend(suite: Suite) -> AsyncIterator[Backend[PersistenceClient]]:
    await suite.start_persistence()
    made = Backend("persistence", [suite.persistence(), suite.persistence()], max_waiting=100)
    yield made
    made.close()


@pytest.fixture
async def records(backend: Backend[PersistenceClient]) -> PersistenceClient:
    return backend.lookups.of("shop")


@pytest.fixture
async def account(records: PersistenceClient) -> Account:
    made = accounts.build_account("ana@x.es", "Ana", "García", ["customer"])
    await accounts.create_account(records, made, password_hash="h")
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def sign_in(records: PersistenceClient, account: Account, kind: sessions.SessionKind) -> tuple[str, str, str]:
    """Returns an access token, the token of a cookie, and the session's id."""
    opened = sessions.open_session(account.user, kind, agent="test", generation=account.generation, seconds=3600)
    await records.transact([opened.action])
    session = opened.session.session
    token, _ = SIGNER.sign(
        user=account.user, tenant="shop", session=session, roles=account.roles, generation=account.generation
    )
    return token, format_token("", "shop", (account.user, session), opened.secret), session


async def test_a_token_and_a_cookie_lead_to_the_account(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account
) -> None:
    credentials = AccountCredentials(backend, SIGNER)
    token, cookie, session = await sign_in(records, account, "cookie")
    principal = await credentials.authenticate_token(token)
    assert (principal.tenant, principal.kind, principal.user) == ("shop", "account", account.user)
    assert (principal.session, principal.name) == (session, "ana@x.es")
    assert principal.roles == {"customer"}
    assert await credentials.authenticate_session(cookie) == principal
    for wrong in (
        "",
        "x",
        cookie[:-1],
        cookie[:-1] + ("A" if cookie[-1] != "A" else "B"),
        cookie.replace("shop", "main"),
    ):
        with pytest.raises(Unauthorized):
            await credentials.authenticate_session(wrong)


async def test_the_secret_of_a_program_is_no_cookie(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account
) -> None:
    credentials = AccountCredentials(backend, SIGNER)
    token, cookie, _ = await sign_in(records, account, "token")
    await credentials.authenticate_token(token)
    with pytest.raises(Unauthorized):
        await credentials.authenticate_session(cookie)


async def test_an_ended_session_is_refused_here_at_once_and_elsewhere_in_ten_seconds(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account, clock: Clock
) -> None:
    here, elsewhere = (AccountCredentials(backend, SIGNER, clock=clock) for _ in range(2))
    token, _, session = await sign_in(records, account, "token")
    for one in (here, elsewhere):
        await one.authenticate_token(token)
    await sessions.end_session(records, account.user, session)
    here.forget("shop", account.user, session)
    with pytest.raises(Unauthorized):
        await here.authenticate_token(token)
    clock.now += CACHE_SECONDS - 0.1
    await elsewhere.authenticate_token(token)
    clock.now += 0.1
    with pytest.raises(Unauthorized):
        await elsewhere.authenticate_token(token)


@pytest.mark.parametrize("change", ["password", "block", "delete"])
async def test_what_ends_all_sessions_is_in_force_within_ten_seconds(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account, clock: Clock, change: str
) -> None:
    credentials = AccountCredentials(backend, SIGNER, clock=clock)
    token, cookie, _ = await sign_in(records, account, "cookie")
    await credentials.authenticate_token(token)
    await credentials.authenticate_session(cookie)
    if change == "password":
        await accounts.set_password(records, account, "new")
    elif change == "block":
        await accounts.change_account(records, account.user, active=False)
    else:
        await accounts.delete_account(records, account)
    clock.now += CACHE_SECONDS
    with pytest.raises(Unauthorized):
        await credentials.authenticate_token(token)
    with pytest.raises(Unauthorized):
        await credentials.authenticate_session(cookie)


async def test_unblocking_does_not_bring_old_sessions_back(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account
) -> None:
    token, _, _ = await sign_in(records, account, "token")
    await accounts.change_account(records, account.user, active=False)
    await accounts.change_account(records, account.user, active=True)
    with pytest.raises(Unauthorized):
        await AccountCredentials(backend, SIGNER).authenticate_token(token)


async def test_a_changed_role_is_in_force_within_ten_seconds(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account, clock: Clock
) -> None:
    credentials = AccountCredentials(backend, SIGNER, clock=clock)
    token, _, _ = await sign_in(records, account, "token")
    assert (await credentials.authenticate_token(token)).roles == {"customer"}
    await accounts.change_account(records, account.user, roles=["staff"])
    clock.now += CACHE_SECONDS
    assert (await credentials.authenticate_token(token)).roles == {"staff"}


async def test_a_lookup_that_began_before_the_end_is_not_kept(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account
) -> None:
    credentials = AccountCredentials(backend, SIGNER)
    token, _, session = await sign_in(records, account, "token")
    lookup = asyncio.create_task(credentials.authenticate_token(token))
    await asyncio.sleep(0)
    credentials.forget("shop", account.user, session)
    await lookup
    await sessions.end_session(records, account.user, session)
    with pytest.raises(Unauthorized):
        await credentials.authenticate_token(token)


async def test_lookups_are_bounded_and_the_last_used_ones_stay(
    backend: Backend[PersistenceClient], records: PersistenceClient, account: Account
) -> None:
    credentials = AccountCredentials(backend, SIGNER, max_entries=2)
    tokens = [(await sign_in(records, account, "token"))[0] for _ in range(3)]
    for token in (tokens[0], tokens[1], tokens[0], tokens[2]):
        await credentials.authenticate_token(token)
    assert len(credentials._entries) == 2
    backend.close()
    await credentials.authenticate_token(tokens[0])


async def test_an_api_key_has_its_role_until_it_is_removed(
    backend: Backend[PersistenceClient], records: PersistenceClient
) -> None:
    credentials = AccountCredentials(backend, SIGNER)
    made = await api_keys.create_api_key(records, "shop", name="till", role="staff", seconds=60, created_by="x")
    principal = await credentials.authenticate_key(made.text)
    assert (principal.tenant, principal.kind, principal.user) == ("shop", "api_key", None)
    assert principal.roles == {"staff"}
    assert made.text.split(".")[-1] not in principal.name
    for wrong in ("ck.", made.text[:-1] + ("A" if made.text[-1] != "A" else "B"), made.text.replace("shop", "main")):
        with pytest.raises(Unauthorized):
            await credentials.authenticate_key(wrong)
    await api_keys.delete_api_key(records, made.key.key)
    credentials.forget("shop", made.key.key)
    with pytest.raises(Unauthorized):
        await credentials.authenticate_key(made.text)


@pytest.mark.parametrize(
    ("failures", "factor", "pause"),
    [
        (0, 1, 0),
        (4, 1, 0),
        (5, 1, 1),
        (6, 1, 2),
        (7, 1, 4),
        (14, 1, 512),
        (15, 1, 900),
        (10_000, 1, 900),
        (49, 10, 0),
        (50, 10, 1),
        (51, 10, 2),
    ],
)
def test_pauses_grow_to_a_quarter_of_an_hour(failures: int, factor: int, pause: int) -> None:
    assert compute_pause(failures, factor) == pause


async def fail(throttle: LoginThrottle, records: PersistenceClient, address: str = "192.0.2.1") -> float:
    """Fails once; returns the pause in seconds that refused the attempt, or 0."""
    try:
        await throttle.begin_attempt(records, "ana@x.es", address)
    except RateLimited as refused:
        return float(refused.details["retry_after_ms"]) / 1000
    return 0.0


async def test_the_sixth_failure_waits_a_second_and_the_next_two(records: PersistenceClient, clock: Clock) -> None:
    throttle = LoginThrottle(clock=clock)
    assert [await fail(throttle, records) for _ in range(7)] == [0, 0, 0, 0, 0, 1, 1]
    clock.now += 1
    assert await fail(throttle, records) == 0
    assert await fail(throttle, records) == 2
    clock.now += 2
    attempt = await throttle.begin_attempt(records, "ana@x.es", "192.0.2.1")
    await throttle.end_attempt(records, attempt)
    assert [await fail(throttle, records) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


async def test_another_network_waits_after_fifty_failures_in_all(records: PersistenceClient, clock: Clock) -> None:
    throttle = LoginThrottle(clock=clock)
    for number in range(50):
        assert await fail(throttle, records, f"192.0.2.{number}") == 0
    assert await fail(throttle, records, "198.51.100.1") == 1


async def test_a_network_of_ipv6_is_one_client(records: PersistenceClient, clock: Clock) -> None:
    throttle = LoginThrottle(clock=clock)
    for number in range(5):
        assert await fail(throttle, records, f"2001:db8::{number}") == 0
    assert await fail(throttle, records, "2001:db8::99") == 1
    assert await fail(throttle, records, "2001:db8:0:1::1") == 0


async def test_attempts_at_the_same_time_do_not_slip_through(records: PersistenceClient, clock: Clock) -> None:
    throttle = LoginThrottle(clock=clock)
    pauses = await asyncio.gather(*(fail(throttle, records) for _ in range(30)))
    assert sum(pause == 0 for pause in pauses) <= 6


async def test_failures_are_forgotten_after_a_day(
    records: PersistenceClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now = time.time()
    throttle = LoginThrottle(clock=clock)
    assert [await fail(throttle, records) for _ in range(6)][-1] > 0
    clock.now += 86_401
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock.now * 1_000_000_000))
    assert [await fail(throttle, records) for _ in range(5)] == [0, 0, 0, 0, 0]
