"""What the tests of stock have in common."""

from collections.abc import AsyncIterator, Iterator

import pytest

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
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of the server, in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


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
