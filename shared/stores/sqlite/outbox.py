"""Writes what a transaction does to orders into the outbox, in that transaction."""

from shared.stores.outbox import Moves, encode_moves
from shared.stores.sqlite.database import Connection

_ADD = "INSERT INTO moves (at, last, moves) VALUES (?, ?, ?)"


def add_moves(connection: Connection, moves: Moves, at: int) -> None:
    """Adds an entry, unless nothing has happened; `at` is microseconds since the epoch."""
    if last := moves.last:
        connection.execute(_ADD, (at, last, encode_moves(moves).decode()))
