"""Positions of those who follow the files of the suite: how far they have read, and in which state of the files."""

import contextlib
from pathlib import Path
from typing import NamedTuple, Self

from shared.domain.errors import StoreError
from shared.stores.sqlite.database import connect, translate_errors

ORDERS = "orders"
"""The name under which a follower keeps its position."""
ORDERS_BEFORE = "orders_before"
"""The name under which it keeps the position that it had before it began again."""

RECORDS = "records"
RECORDS_BEFORE = "records_before"
"""The same for the changes of records."""

_SAVED = "SELECT value FROM meta WHERE name IN (?, ?)"


class OrderPosition(NamedTuple):
    """The last order and the last entry of the outbox that were read, of which node and which era.

    The era is the number of times that the files were repaired: numbers of different eras cannot be compared.
    """

    node: int
    order: int = 0
    move: int = 0
    era: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` gives. Positions of earlier versions have no era. Raises ValueError or TypeError."""
        return cls(*map(int, text.split(":")))

    def max_with(self, other: Self) -> Self:
        """Returns a position behind this one and another: no number up to either is given again."""
        same = self.node == other.node
        return self._replace(
            order=max(self.order, other.order),
            move=max(self.move, other.move) if same else self.move,
            era=max(self.era, other.era) if same else self.era,
        )

    def __str__(self) -> str:
        return ":".join(map(str, self))


def saved_positions(path: Path) -> list[OrderPosition]:
    """Returns the positions in orders that a follower has saved in its file; none where there is no such file yet."""
    found: list[OrderPosition] = []
    for text in _read_saved(path, ORDERS, ORDERS_BEFORE):
        with contextlib.suppress(ValueError, TypeError):
            found.append(OrderPosition.parse(text))
    return found


def saved_change(path: Path) -> int:
    """Returns the number of the last change of records that a follower has read, by its file; 0 where there is none."""
    return max((int(text) for text in _read_saved(path, RECORDS, RECORDS_BEFORE) if text.isdecimal()), default=0)


def _read_saved(path: Path, *names: str) -> list[str]:
    if not path.exists():
        return []
    # A file that cannot be read is reported by the server that owns it.
    with (
        contextlib.suppress(StoreError),
        translate_errors(path),
        contextlib.closing(connect(path, read_only=True)) as file,
    ):
        return [text for (text,) in file.execute(_SAVED, names).fetchall()]
    return []


def current_position(path: Path) -> OrderPosition:
    """Returns the position from which a follower goes on; that of nothing read where it is not known."""
    for text in _read_saved(path, ORDERS, ORDERS):
        with contextlib.suppress(ValueError, TypeError):
            return OrderPosition.parse(text)
    return OrderPosition(0)
