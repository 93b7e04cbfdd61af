"""What a follower that begins again keeps of where it was: the numbers that were given, for the files' owners."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.distributed.read_model import ReadModel
from services.distributed.relay import Relay
from shared.domain.errors import Gone
from shared.stores.ports.feeds import OrderEvents
from shared.stores.ports.records import Changes
from shared.stores.sqlite.order_positions import OrderPosition, saved_change, saved_positions


class Orders:
    """A feed that begins again at each position."""

    def __init__(self, *positions: OrderPosition) -> None:
        self._positions = iter(positions)

    async def read_events(self, after: str | None, *, limit: int) -> OrderEvents | None:
        del limit
        return OrderEvents([], str(next(self._positions)), restarted=after is not None)


class Records:
    """A feed whose changes are gone whenever they are asked for, but for the moment after `newest_position`."""

    def __init__(self, *positions: int) -> None:
        self._positions = iter(positions)
        self._newest: str | None = None

    async def read_changes(self, after: str | None, *, limit: int) -> Changes | None:
        del limit
        if self._newest is None or after != self._newest:
            raise Gone("these changes are not kept")
        self._newest = None
        return Changes([], str(after))

    async def newest_position(self) -> str:
        self._newest = str(next(self._positions))
        return self._newest

    async def read_items(self, table: object) -> AsyncIterator[list[Any]]:
        del table
        pages: list[list[Any]] = []
        for page in pages:
            yield page


class NoRecords(Records):
    """A feed whose file is not there yet."""

    async def read_changes(self, after: str | None, *, limit: int) -> Changes | None:
        return None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the service has its file."""
    return tmp_path / "distributed.db"


async def follow(path: Path, orders: Orders, records: Records, steps: int) -> None:
    read_model = ReadModel(path, max_events=10, event_seconds=60, max_notifications=10)
    relay = Relay(read_model, orders, records, None, data="CorporateData")  # type: ignore[arg-type]
    for _ in range(steps):
        await relay.read_once()
    read_model.close()


async def test_beginning_again_twice_forgets_no_order_that_there_was(path: Path) -> None:
    positions = [OrderPosition(1, 8, 5), OrderPosition(1, 3, 2), OrderPosition(1, 3, 6, 1)]
    await follow(path, Orders(*positions), NoRecords(), 3)
    assert sorted(saved_positions(path)) == [OrderPosition(1, 3, 6, 1), OrderPosition(1, 8, 5)]


async def test_numbers_of_other_files_stay_given(path: Path) -> None:
    positions = [OrderPosition(2, 8, 5), OrderPosition(1, 3, 2), OrderPosition(1, 4, 3)]
    await follow(path, Orders(*positions), NoRecords(), 3)
    assert sorted(saved_positions(path)) == [OrderPosition(1, 4, 3), OrderPosition(1, 8, 2)]


async def test_beginning_again_twice_forgets_no_change_that_there_was(path: Path) -> None:
    orders = Orders(*([OrderPosition(1)] * 4))
    await follow(path, orders, Records(9, 10, 4, 3), 4)
    assert saved_change(path) == 10
