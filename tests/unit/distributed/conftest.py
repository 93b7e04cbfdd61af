"""What the tests of the distributed service's parts stand on."""

import sqlite3
from collections.abc import Iterator

import pytest

from tests.support.distributed_file import open_in_memory


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """The service's file."""
    with open_in_memory() as opened:
        yield opened
