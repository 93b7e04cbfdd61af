"""Positions of those who follow the files of an intake: how far they have read, and in which state of the files."""

import contextlib
from pathlib import Path
from typing import NamedTuple, Self

from shared.domain.errors import StoreError
from shared.stores.sqlite.database import connect, translated

ORDERS = "orders"
"""The name under which a follower keeps its position."""
ORDERS_BEFORE = "orders_before"
"""The name under which it keeps the position that it had before it began again."""

_SAVED = f"SELECT value FROM meta WHERE name IN ('{ORDERS}', '{ORDERS_BEFORE}')"


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

    def __str__(self) -> str:
        return ":".join(map(str, self))


def saved_positions(path: Path) -> list[OrderPosition]:
    """Returns the positions that a follower has saved in its file; none where there is no such file yet."""
    if not path.exists():
        return []
    found: list[OrderPosition] = []
    # A file that cannot be read is reported by the server that owns it.
    with contextlib.suppress(StoreError), translated(path), contextlib.closing(connect(path, read_only=True)) as file:
        for (text,) in file.execute(_SAVED).fetchall():
            with contextlib.suppress(ValueError, TypeError):
                found.append(OrderPosition.parse(text))
    return found
