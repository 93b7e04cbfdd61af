"""Which entries of the outbox of orders are deleted, and when."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.runtime.file_lock import FileLock
from shared.stores.orders import CANCELLED, DONE
from shared.stores.sqlite.database import Writer, migrate
from shared.stores.sqlite.outbox import rebuild_outbox
from shared.stores.sqlite.upkeep import Upkeep

DAY = 86_400_000_000
NUMBERS = "SELECT number FROM moves ORDER BY number"


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[Writer]:
    """The progress of an order that was done a year ago, and of one that was cancelled, nobody knows when."""
    writer = Writer(tmp_path / "progress.db")
    migrate(writer.connection, writer.path, "progress")
    year_ago = time.time_ns() // 1000 - 365 * DAY
    add = "INSERT INTO progress (sequence, state, attempt, started, finished) VALUES (?, ?, 1, ?, ?)"
    with contextlib.closing(writer):
        with writer.transaction(2) as connection:
            connection.execute(add, (1, DONE, year_ago, year_ago))
            connection.execute(add, (2, CANCELLED, None, None))
            rebuild_outbox(connection, {}, 0, [(7, 0, 0, "{}")])
        yield writer


@pytest.fixture
def upkeep(progress: Writer, tmp_path: Path) -> Upkeep:
    """That of files whose follower has not read anything."""
    lock = FileLock(tmp_path / "progress.lock")
    return Upkeep(progress, lock, tmp_path / "archive", [tmp_path / "distributed.db"], outbox_days=7)


def test_entries_that_a_move_has_made_are_kept_for_their_days(progress: Writer, upkeep: Upkeep) -> None:
    entries = progress.connection.execute(NUMBERS).fetchall()
    assert len(entries) == 4
    assert not upkeep.trim_outbox()
    assert progress.connection.execute(NUMBERS).fetchall() == entries


def test_entries_that_a_move_has_made_are_deleted_after_their_days(progress: Writer, upkeep: Upkeep) -> None:
    progress.connection.execute("UPDATE meta SET value = value - ? WHERE name = 'rebuilt'", (8 * DAY,))
    upkeep.trim_outbox()
    # Up to the last one whose time has passed; that of the cancelled order is the time of the move.
    assert progress.connection.execute(NUMBERS).fetchall() == [(10,)]
