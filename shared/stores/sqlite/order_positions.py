"""Positions of followers in the files of the suite."""

import contextlib
from pathlib import Path
from typing import NamedTuple, Self

from shared.domain.errors import StoreError
from shared.stores.sqlite.database import connect, translate_errors

ORDERS = "orders"
"""The name of a follower's saved position."""
ORDERS_BEFORE = "orders_before"
"""The name of its saved position from before a restart from the beginning."""

RECORDS = "records"
RECORDS_BEFORE = "records_before"
"""The same names for the changes of records."""

_SAVED = "SELECT value FROM meta WHERE name IN (?, ?)"


class OrderPosition(NamedTuple):
    """The last order and the last outbox entry that were read, with their node and era.

    The era counts the repairs of the files; numbers of different eras cannot be compared.
    """

    node: int
    order: int = 0
    move: int = 0
    era: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the output of `str`. Positions of earlier versions have no era. Raises ValueError or TypeError."""
        return cls(*map(int, text.split(":")))

    def max_with(self, other: Self) -> Self:
        """Returns the member-wise maximum of two positions: no number up to either of them is assigned again."""
        same = self.node == other.node
        return self._replace(
            order=max(self.order, other.order),
            move=max(self.move, other.move) if same else self.move,
            era=max(self.era, other.era) if same else self.era,
        )

    def __str__(self) -> str:
        return ":".join(map(str, self))


def saved_positions(path: Path) -> list[OrderPosition]:
    """Returns the positions in orders that a follower has saved in its file; none if there is no file."""
    found: list[OrderPosition] = []
    for text in _read_saved(path, ORDERS, ORDERS_BEFORE):
        with contextlib.suppress(ValueError, TypeError):
            found.append(OrderPosition.parse(text))
    return found


def saved_change(path: Path) -> int:
    """Returns the number of the last change of records that a follower has saved as read; 0 if there is none."""
    return max((int(text) for text in _read_saved(path, RECORDS, RECORDS_BEFORE) if text.isdecimal()), default=0)


def _read_saved(path: Path, *names: str) -> list[str]:
    if not path.exists():
        return []
    # The server that owns the file reports that it cannot be read.
    with (
        contextlib.suppress(StoreError),
        translate_errors(path),
        contextlib.closing(connect(path, read_only=True)) as file,
    ):
        return [text for (text,) in file.execute(_SAVED, names).fetchall()]
    return []


def current_position(path: Path) -> OrderPosition:
    """Returns the position from which a follower continues; the initial position if it is unknown."""
    for text in _read_saved(path, ORDERS, ORDERS):
        with contextlib.suppress(ValueError, TypeError):
            return OrderPosition.parse(text)
    return OrderPosition(0)
