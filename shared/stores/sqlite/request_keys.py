"""Expiry of idempotency keys: an expired key may be used again, and its index entry is freed.

Keys are a column of the orders with a unique index. They are freed in slices, oldest orders first, up to a stored
mark. A slice is short and is followed by a pause nine times as long, so that accepting can continue.
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
    """Frees keys that are older than `seconds`; 0 keeps them permanently."""

    def __init__(self, orders: Writer, seconds: float) -> None:
        self._orders = orders
        self._age = round(seconds * 1e6)
        self._mark: int | None = None
        self._next_expiry = 0
        """No key expires before this time, in microseconds since the epoch."""
        self.latest = 0
        """Time of receipt of the newest orders; the caller of the store ensures that it is plausible."""
        self._doubted_until = 0.0

    def check_clock(self, newest: int, now: int) -> None:
        """Suspends expiry for ten minutes if the clock is far ahead of the newest order; times are microseconds.

        The server may have been off for days, or the clock may be wrong after a boot until a time server sets it.
        """
        if newest and now - newest > self._age / 2:
            self._doubted_until = time.monotonic() + _DOUBT_SECONDS

    def is_expired(self, received: int, now: int) -> bool:
        """Whether the key of an order received at `received` may be used again; times are microseconds."""
        return self._age > 0 and received + self._age <= now and time.monotonic() >= self._doubted_until

    def free_keys(self, connection: Connection, sequences: Sequence[int]) -> None:
        """Removes the keys of orders, in the transaction of the orders that reuse them."""
        connection.executemany(_FREE_ONE, [(sequence,) for sequence in sequences])

    def free_slice(self) -> float | None:
        """Frees some expired keys; returns the pause in seconds before the next slice, None if no key is left.

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
