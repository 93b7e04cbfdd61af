"""A gateway that is killed at any step of registration, refresh, reset or removal leaves one consistent account.

A step is a request to the persistence server. The gateway is killed before it is sent, and after it took effect.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from clients.accounts import accounts, resets
from clients.errors import ConnectionLost
from clients.persistence import PersistenceClient
from tests.support.http import Reply
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp

API = "/api/v1/users"
OLD, NEW = "siete gatos verdes", "ocho perros azules"
METHODS = ("get_item", "get_items", "put_item", "update_item", "delete_item", "transact", "batch", "query")
CHANGES = ("put_item", "update_item", "delete_item", "transact", "batch")


class Killer:
    """Kills at one step."""

    def __init__(self) -> None:
        self.step = -1
        self.is_late = False
        self.steps = 0
        """Steps so far."""

    def wrap(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*values: Any, **members: Any) -> Any:
            step, self.steps = self.steps, self.steps + 1
            # Every later request is one of a process that is dead.
            if step > self.step >= 0 or (step == self.step and not (self.is_late and name in CHANGES)):
                raise ConnectionLost("killed")
            result = await method(*values, **members)
            if step == self.step:
                raise ConnectionLost("killed")
            return result

        return call


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    made = Killer()
    for name in METHODS:
        monkeypatch.setattr(PersistenceClient, name, made.wrap(name, getattr(PersistenceClient, name)))
    return made


@contextmanager
def killing(killer: Killer, step: int, *, is_late: bool) -> Iterator[None]:
    """Kills at this step of the block; without an effect beyond it."""
    killer.step, killer.is_late, killer.steps = step, is_late, 0
    yield
    killer.step = -1


@pytest.fixture
async def http(suite: Suite) -> InProcessHttp:
    await suite.start_persistence()
    return InProcessHttp(await suite.start_gateway())


def person(email: str) -> dict[str, Any]:
    return {"email": email, "password": OLD, "first_name": "Ana", "last_name": "Paz"}


async def login(http: InProcessHttp, email: str, password: str) -> Reply:
    return await http.post(f"{API}/login", {"email": email, "password": password})


async def check_whole(suite: Suite, email: str) -> bool:
    """Checks that the address has one account with a password, or nothing; returns whether it has."""
    async with suite.persistence() as client:
        user = await accounts.find_user(client, email)
        listed = [one for one in (await accounts.list_accounts(client)).accounts if one.email == email]
        assert [one.user for one in listed] == ([] if user is None else [user])
        if user is not None:
            assert await accounts.load_hash(client, user) is not None
        return user is not None


Act = Callable[[str, dict[str, Any]], Awaitable[Reply]]
After = Callable[[str, dict[str, Any]], Awaitable[None]]


async def kill_everywhere(http: InProcessHttp, killer: Killer, act: Act, after: After, *, register: bool = True) -> int:
    """Performs `act` for a fresh account, killed at each of its steps; then `after`. Returns the number of steps."""
    step = 0
    while True:
        for is_late in (False, True):
            email = f"ana{step}{'late' if is_late else ''}@x.es"
            made = (await http.post(f"{API}/register", person(email))).json if register else {}
            with killing(killer, step, is_late=is_late):
                reply = await act(email, made)
                was_killed = killer.steps > step
            assert (reply.status >= 500) == was_killed, (step, is_late, reply.body)
            await after(email, made)
        if not was_killed:
            return step
        step += 1


async def test_a_registration(http: InProcessHttp, suite: Suite, killer: Killer) -> None:
    async def act(email: str, _: dict[str, Any]) -> Reply:
        return await http.post(f"{API}/register", person(email))

    async def after(email: str, _: dict[str, Any]) -> None:
        exists = await check_whole(suite, email)
        assert (await http.post(f"{API}/register", person(email))).status == (409 if exists else 200)
        assert (await login(http, email, OLD)).status == 200

    assert await kill_everywhere(http, killer, act, after, register=False) == 2


async def test_a_refresh(http: InProcessHttp, killer: Killer) -> None:
    async def act(_: str, made: dict[str, Any]) -> Reply:
        return await http.post(f"{API}/refresh", {"refresh_token": made["refresh_token"]})

    async def after(_: str, made: dict[str, Any]) -> None:
        again = await act("", made)
        assert again.status == 200
        following = await http.post(f"{API}/refresh", {"refresh_token": again.json["refresh_token"]})
        assert following.status == 200
        profile = await http.get(f"{API}/profile", Authorization=f"Bearer {following.json['token']}")
        assert profile.status == 200

    assert await kill_everywhere(http, killer, act, after) >= 3


async def check_one_password(http: InProcessHttp, suite: Suite, email: str, made: dict[str, Any]) -> bool:
    """Checks that one of the passwords is right, and that the new one has ended the sessions; returns whether."""
    assert await check_whole(suite, email)
    is_new = (await login(http, email, NEW)).status == 200
    assert (await login(http, email, OLD)).status == (401 if is_new else 200)
    refreshed = await http.post(f"{API}/refresh", {"refresh_token": made["refresh_token"]})
    assert refreshed.status == (401 if is_new else 200)
    return is_new


async def test_a_reset(http: InProcessHttp, suite: Suite, killer: Killer) -> None:
    tokens: dict[str, str] = {}

    async def confirm(email: str) -> Reply:
        return await http.post(f"{API}/password/reset/confirm", {"token": tokens[email], "password": NEW})

    async def act(email: str, _: dict[str, Any]) -> Reply:
        killer.step, step = -1, killer.step
        async with suite.persistence() as client:
            account = await accounts.find_account(client, email)
            assert account is not None
            reset = resets.open_reset("main", account)
            await client.transact([reset.action])
        tokens[email] = reset.token
        killer.step, killer.steps = step, 0
        return await confirm(email)

    async def after(email: str, made: dict[str, Any]) -> None:
        is_new = await check_one_password(http, suite, email, made)
        assert (await confirm(email)).status == (410 if is_new else 200)
        assert (await login(http, email, NEW)).status == 200

    assert await kill_everywhere(http, killer, act, after) >= 4


async def test_a_changed_password(http: InProcessHttp, suite: Suite, killer: Killer) -> None:
    async def act(_: str, made: dict[str, Any]) -> Reply:
        body = {"current_password": OLD, "new_password": NEW}
        return await http.ask("POST", f"{API}/password", body, headers={"Authorization": f"Bearer {made['token']}"})

    async def after(email: str, made: dict[str, Any]) -> None:
        await check_one_password(http, suite, email, made)

    assert await kill_everywhere(http, killer, act, after) >= 8


async def test_a_removal(http: InProcessHttp, suite: Suite, killer: Killer) -> None:
    async def act(_: str, made: dict[str, Any]) -> Reply:
        headers = {"Authorization": f"Bearer {made['token']}"}
        return await http.ask("DELETE", f"{API}/me", {"password": OLD}, headers=headers)

    async def after(email: str, made: dict[str, Any]) -> None:
        exists = await check_whole(suite, email)
        assert (await login(http, email, OLD)).status == (200 if exists else 401)
        refreshed = await http.post(f"{API}/refresh", {"refresh_token": made["refresh_token"]})
        assert refreshed.status == (200 if exists else 401)
        if not exists:
            assert (await http.post(f"{API}/register", person(email))).status == 200

    assert await kill_everywhere(http, killer, act, after) >= 6
