"""The expiry of idempotency keys: a key that is old enough may be used again, and gives its place in the index back.

Keys stand in the orders themselves, under a unique index. They are freed in slices, oldest orders first, up to a mark
that is stored; a slice is short and is followed by a pause nine times as long, so that accepting goes on in between.
"""

import time
from collections.abc import Sequence

from shared.stores.sqlite.database import Connection, Writer

_SLICE_ROWS = 1000
_DOUBT_SECONDS = 600.0
_MARK = "SELECT coalesce(max(value), 0) FROM meta WHERE name = 'keys_freed'"
_SET_MARK = "INSERT OR REPLACE INTO meta (name, value) VALUES ('keys_freed', ?)"
_NEXT = "SELECT sequence, received FROM orders WHERE sequence > ? ORDER BY sequence LIMIT ?"
_FREE_RANGE = """
UPDATE orders NOT INDEXED SET request_id = NULL
WHERE sequence BETWEEN ? AND ? AND request_id IS NOT NULL"""
_FREE_ONE = "UPDATE orders SET request_id = NULL WHERE sequence = ?"


class RequestKeys:
    """Frees keys that are older than `seconds`; 0 keeps them for ever."""

    def __init__(self, orders: Writer, seconds: float) -> None:
        self._orders = orders
        self._age = round(seconds * 1e6)
        self._mark: int | None = None
        self._next_expiry = 0
        """No key expires before this time, in microseconds since the epoch."""
        self.latest = 0
        """When the newest orders were received: the caller of the store sees to it that this time can be believed."""
        self._doubted_until = 0.0

    def check_clock(self, newest: int, now: int) -> None:
        """Expires nothing for ten minutes where the clock is far ahead of the newest order, in microseconds both.

        The server may have been off for days. Or the clock is wrong after a start of the machine, until a time server
        sets it.
        """
        if newest and now - newest > self._age / 2:
            self._doubted_until = time.monotonic() + _DOUBT_SECONDS

    def is_expired(self, received: int, now: int) -> bool:
        """Whether the key of an order that came at `received` may be used again; times are microseconds."""
        return self._age > 0 and received + self._age <= now and time.monotonic() >= self._doubted_until

    def free_keys(self, connection: Connection, sequences: Sequence[int]) -> None:
        """Takes their keys from orders, in the transaction of the orders that use them again."""
        connection.executemany(_FREE_ONE, [(sequence,) for sequence in sequences])

    def free_slice(self) -> float | None:
        """Frees some expired keys; returns for how long to pause before the next ones, None when none is left.

        Raises StoreError.
        """
        now = self.latest
        if not self._age or now < self._next_expiry:
            return None
        began = time.monotonic()
        connection = self._orders.connection
        if self._mark is None:
            self._mark = int(connection.execute(_MARK).fetchone()[0])
        rows = connection.execute(_NEXT, (self._mark, _SLICE_ROWS)).fetchall()
        expired = 0
        for _, received in rows:
            if not self.is_expired(received, now):
                self._next_expiry = received + self._age
                break
            expired += 1
        if not expired:
            return None
        last = rows[expired - 1][0]
        with self._orders.transaction(expired) as writing:
            writing.execute(_FREE_RANGE, (self._mark + 1, last))
            writing.execute(_SET_MARK, (last,))
        self._mark = last
        return None if expired < _SLICE_ROWS else (time.monotonic() - began) * 9
