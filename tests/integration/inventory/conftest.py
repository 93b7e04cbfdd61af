"""What the tests of stock have in common."""

from collections.abc import AsyncIterator, Iterator

import pytest

import services.inventory.retry_backoff as retry_backoff
from clients.persistence import PersistenceClient
from tests.support.cloud import Cloud, cloud_at
from tests.support.dynamodb import CREDENTIALS, DynamoServer
from tests.support.intake import PersistenceProcess


@pytest.fixture
async def client(persistence: PersistenceProcess) -> AsyncIterator[PersistenceClient]:
    """A client of `persistence` that says at once when it is away."""
    async with PersistenceClient("127.0.0.1", persistence.port, patience=0.0) as connected:
        yield connected


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, and little patience."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retry_backoff, "_FIRST_DELAY", 0.05)
    monkeypatch.setattr(retry_backoff, "_LONGEST_DELAY", 0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[DynamoServer]:
    """The server of this module's tests."""
    server = DynamoServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def cloud(server: DynamoServer) -> AsyncIterator[Cloud]:
    """A client of it."""
    async with cloud_at(server.endpoint) as cloud:
        yield cloud
