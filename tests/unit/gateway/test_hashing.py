"""Password hashing: the bound on hashes that wait, places that outlive their client, and odd stored hashes."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from services.gateway.identity.blocklist import FrequentPasswords
from services.gateway.identity.hashing import PasswordHashing
from shared.domain.errors import Unavailable

PASSWORD = "la casa del ñandú azul"


@pytest.fixture
async def hashing() -> AsyncIterator[PasswordHashing]:
    made = PasswordHashing(memory_kib=64, rounds=1)
    yield made
    made.close()


async def test_a_password_is_verified_against_its_hash_alone(hashing: PasswordHashing) -> None:
    with hashing.reserve() as place:
        stored = await place.hash(PASSWORD)
        assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
        assert await place.verify(stored, PASSWORD)
        assert not await place.verify(stored, PASSWORD + " ")
        assert not await place.verify(None, PASSWORD)
        assert not place.needs_rehash(stored)
        assert place.needs_rehash(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(PASSWORD))


async def test_the_surplus_is_refused_before_any_work(hashing: PasswordHashing) -> None:
    with ExitStack() as taken:
        free = hashing._places
        assert 17 <= free <= 18
        for _ in range(free):
            taken.enter_context(hashing.reserve())
        with pytest.raises(Unavailable) as refused:
            hashing.reserve()
        assert refused.value.details["retry_after_ms"] == 1000
    hashing.reserve()


async def test_a_place_is_held_until_its_hash_ends_even_without_a_client(
    hashing: PasswordHashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, started = threading.Event(), threading.Event()

    def hash_slowly(_: str) -> str:
        started.set()
        go_on.wait()
        return "done"

    monkeypatch.setattr(hashing, "hash_password", hash_slowly)
    free = hashing._places

    async def sign_in() -> None:
        with hashing.reserve() as place:
            await place.hash(PASSWORD)

    task = asyncio.create_task(sign_in())
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hashing._places == free - 1
    go_on.set()
    while hashing._places != free:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "stored",
    [
        "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=64,t=4000000,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=2048,t=1,p=200$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$2b$12$abcdefghijklmnopqrstuv",
        "",
        "plain",
    ],
)
async def test_a_stored_hash_out_of_bounds_is_never_computed(hashing: PasswordHashing, stored: str) -> None:
    with capture_logs() as log, hashing.reserve() as place:
        assert not await place.verify(stored, PASSWORD)
    assert [entry["event"] for entry in log] == ["password_hash_out_of_bounds"]


def test_frequent_passwords_are_found_whole() -> None:
    frequent = FrequentPasswords()
    assert len(frequent) == 30_000
    assert "password" in frequent
    assert "iloveyou" in frequent
    assert "asswor" not in frequent
