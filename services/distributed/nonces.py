"""Nonces of signed pickles, stored in the service's file: a request takes effect only after its nonce is committed."""

import time

from shared.serialization.signed_pickles import UsedNonces
from shared.stores.sqlite.database import Connection


class StoredNonces(UsedNonces):
    """The nonces in the service's file."""

    def __init__(self, connection: Connection) -> None:
        row = connection.execute("SELECT value FROM meta WHERE name = 'nonces_since'").fetchone()
        found = connection.execute("SELECT nonce, expires FROM nonces ORDER BY expires").fetchall()
        super().__init__(since=float(row[0]), used=found)
        self._connection = connection
        self._unsaved: list[tuple[bytes, float]] = []

    @property
    def has_unsaved(self) -> bool:
        """Whether there are nonces that no transaction has stored."""
        return bool(self._unsaved)

    def add_nonce(self, nonce: bytes, made: float, expires: float, now: float) -> None:
        """See `UsedNonces.add_nonce`."""
        super().add_nonce(nonce, made, expires, now)
        self._unsaved.append((nonce, expires))

    def save_new(self) -> None:
        """Stores new nonces and removes expired ones within the caller's transaction; call `confirm_saved` after it."""
        self._connection.executemany("INSERT OR IGNORE INTO nonces VALUES (?, ?)", self._unsaved)
        self._connection.execute("DELETE FROM nonces WHERE expires < ?", (self.forget_before(time.time()),))

    def confirm_saved(self) -> None:
        """Records that the nonces are committed."""
        self._unsaved.clear()
