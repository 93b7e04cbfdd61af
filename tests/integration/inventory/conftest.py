"""What the tests of stock have in common."""

from collections.abc import AsyncIterator

import pytest

from clients.persistence import PersistenceClient
from tests.support.intake import PersistenceProcess


@pytest.fixture
async def client(persistence: PersistenceProcess) -> AsyncIterator[PersistenceClient]:
    """A client of `persistence` that says at once when it is away."""
    async with PersistenceClient("127.0.0.1", persistence.port, patience=0.0) as connected:
        yield connected
