"""Finds the orders of a page, newest first: through the index where it covers them, by reading them elsewhere.

The search descends through ranges of sequences in steps. It doubles the step after a fast one and halves it after a
slow one. After `_PAGE_SECONDS` of work the page ends, however short, and its cursor continues the search. If the time
of receipt is bounded, the index lists the blocks of 4,096 orders with orders of that time.
"""

import contextlib
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from shared.domain.names import recent_name_key
from shared.stores.orders import CANCELLED, FAILED, QUEUED, RUNNING, STATES, answer_bytes
from shared.stores.ports.orders import OrderListQuery
from shared.stores.ports.records import PAGE_BYTES
from shared.stores.sqlite.database import Connection
from shared.stores.sqlite.order_index import BLOCK, SEGMENT, IndexCoverage, customer_hash
from shared.stores.sqlite.rows import JOINED, ORDER_COLUMNS
from shared.wire.orders import customer_of

_PAGE_SECONDS = 0.1
_LONGEST_SECONDS = 1.0
_FIRST_STEP = 32_768
_SMALLEST_STEP = 512
_SHORT_STEP_SECONDS = 0.002
_LONG_STEP_SECONDS = 0.01
# Ranges with smaller gaps are read together.
_GAP = 1024
_SAMPLE_SEGMENTS = 4
_SAMPLE_ENTRIES = 2000

_RARE = (FAILED, CANCELLED)
_OPEN = (QUEUED, RUNNING)

Row = tuple[Any, ...]
"""ORDER_COLUMNS."""
Range = tuple[int, int]
"""Sequences from the first up to and excluding the second."""


class OrderSearch:
    """The search of one page. `connection` has `progress` attached, and the index as `idx` if it has coverage."""

    def __init__(self, connection: Connection, coverage: IndexCoverage, query: OrderListQuery) -> None:
        self._connection = connection
        self._coverage = coverage
        self._query = query
        self._state = None if query.state is None else STATES.index(query.state)
        self._key = None if query.customer is None else recent_name_key(query.customer)
        self._hash = 0 if query.customer is None else customer_hash(query.customer)
        self._conditions, self._values = _time_conditions(query)

    def find_page(self) -> tuple[list[Row], int | None]:
        """Returns the rows of the page, and the sequence below which the next page continues; None at the end."""
        rows: list[Row] = []
        room = PAGE_BYTES
        step = _FIRST_STEP
        # Work is measured in processor time, which does not depend on the load of the machine.
        deadline = time.monotonic() + _LONGEST_SECONDS
        began = time.thread_time()
        enough = began + _PAGE_SECONDS
        for low, high in self._search_ranges():
            end = high
            while end > low:
                start = max(end - step, low)
                with contextlib.closing(self._read_rows(start, end)) as found:
                    for row in found:
                        if self._key is not None and recent_name_key(customer_of(row[2])) != self._key:
                            continue
                        room -= answer_bytes(row[2], row[10])
                        if room < 0 and rows:
                            return rows, rows[-1][0]
                        rows.append(row)
                        if len(rows) == self._query.limit:
                            return rows, row[0]
                end = start
                now = time.thread_time()
                if now >= enough or time.monotonic() >= deadline:
                    return rows, end if end > 1 else None
                if now - began < _SHORT_STEP_SECONDS:
                    step *= 2
                elif now - began > _LONG_STEP_SECONDS:
                    step = max(step // 2, _SMALLEST_STEP)
                began = now
        return rows, None

    # Ranges to search.

    def _search_ranges(self) -> Iterator[Range]:
        """Yields ranges for the page in descending order; each is completely in one kind of segment, or in no index."""
        before = self._read_number("SELECT coalesce(max(sequence), 0) + 1 FROM orders")
        if self._query.before is not None:
            before = min(self._query.before, before)
        stop, merged = self._coverage
        for low, high in self._candidate_ranges(before):
            if stop < high:
                yield max(low, stop), high
            for first, last in ((merged, stop), (0, merged)):
                if low < last and first < high:
                    yield from self._ranges_in_time(max(low, first), min(high, last))

    def _candidate_ranges(self, before: int) -> Iterator[Range]:
        """Yields the ranges that can contain orders of this state."""
        if self._state not in _OPEN:
            yield 1, before
            return
        among = self._open_ranges() if self._query.among is None else self._query.among
        known = sorted((low, min(high, before)) for low, high in among if low < before)
        yield from reversed(_merge_ranges(known))

    def _open_ranges(self) -> list[Range]:
        """Returns the ranges outside of which every order is final."""
        mark = self._read_number("SELECT coalesce(max(value), 0) FROM progress.meta WHERE name = 'settled'")
        stragglers = self._connection.execute("SELECT sequence FROM progress.stragglers WHERE sequence <= ?", (mark,))
        return [*((sequence, sequence + 1) for (sequence,) in stragglers), (mark + 1, 2**62)]

    def _ranges_in_time(self, low: int, high: int) -> Iterator[Range]:
        """Yields the parts of a covered range with orders of the requested time."""
        since, until = self._query.since, self._query.until
        if since is None and until is None:
            yield low, high
            return
        blocks = self._connection.execute(
            "SELECT first FROM idx.blocks WHERE first > ? AND first < ? AND newest >= ? AND oldest < ? "
            "ORDER BY first DESC",
            (low - BLOCK, high, since or 0, 2**62 if until is None else until),
        )
        with contextlib.closing(blocks):
            parts = ((max(first, low), min(first + BLOCK, high)) for (first,) in blocks)
            yield from _join_ranges(parts)

    # Reading.

    def _read_rows(self, low: int, high: int) -> Generator[Row, None, None]:
        """Yields rows of a range in descending order; filters by customer only where the index covers the range."""
        if self._key is not None and high <= self._coverage.stop:
            size = SEGMENT if high <= self._coverage.merged else BLOCK
            if self._state in _RARE and self._is_rarer_than_customer:
                yield from self._rare_rows(low, high, size)
                return
            for segment in range((high - 1) // size * size, low // size * size - 1, -size):
                yield from self._customer_rows(segment, low, high)
            return
        state = self._state
        if state is None or state == QUEUED:
            # Orders that no worker has begun have no progress.
            source, place = JOINED, "o.sequence"
            condition = "" if state is None else f" AND (p.state IS NULL OR p.state = {QUEUED})"
        else:
            rare = " INDEXED BY progress_by_rare_state" if state in _RARE else ""
            source = f"progress.progress p{rare} CROSS JOIN orders o ON o.sequence = p.sequence"
            place, condition = "p.sequence", f" AND {self._state_condition}"
        yield from self._select_rows(f"{source} WHERE {place} >= ? AND {place} < ?{condition}", (low, high), place)

    def _customer_rows(self, segment: int, low: int, high: int) -> Iterator[Row]:
        state = self._state
        condition = "WHERE"
        if state in _RARE:
            progress = f"""CROSS JOIN progress.progress p INDEXED BY progress_by_rare_state
                ON {self._state_condition} AND p.sequence = e.sequence"""
        else:
            progress = "LEFT JOIN progress.progress p ON p.sequence = e.sequence"
            if state is not None:
                condition += f" coalesce(p.state, {QUEUED}) = {state} AND"
        source = f"""idx.entries e {progress} CROSS JOIN orders o ON o.sequence = e.sequence
            {condition} e.segment = ? AND e.customer = ? AND e.sequence >= ? AND e.sequence < ?"""
        yield from self._select_rows(source, (segment, self._hash, low, high), "e.sequence")

    def _rare_rows(self, low: int, high: int, size: int) -> Iterator[Row]:
        source = f"""progress.progress p INDEXED BY progress_by_rare_state
            CROSS JOIN idx.entries e
                ON e.segment = (p.sequence & -{size}) AND e.customer = ? AND e.sequence = p.sequence
            CROSS JOIN orders o ON o.sequence = p.sequence
            WHERE {self._state_condition} AND p.sequence >= ? AND p.sequence < ?"""
        yield from self._select_rows(source, (self._hash, low, high), "p.sequence")

    def _select_rows(self, source: str, values: tuple[int, ...], place: str) -> Iterator[Row]:
        statement = f"SELECT {ORDER_COLUMNS} FROM {source}{self._conditions} ORDER BY {place} DESC"
        with contextlib.closing(self._connection.execute(statement, (*values, *self._values))) as found:
            yield from found

    @property
    def _state_condition(self) -> str:
        # SQLite uses a partial index only if the query contains its exact condition.
        return f"p.state = {self._state}" + (f" AND p.state >= {FAILED}" if self._state in _RARE else "")

    @property
    def _is_rarer_than_customer(self) -> bool:
        """Whether fewer orders are in this rare state than belong to the customer, by a sample of recent segments."""
        if self._rarer is None:
            rare = self._read_number(
                f"SELECT coalesce(sum(orders), 0) FROM progress.totals WHERE state = {self._state}"
            )
            merged = self._coverage.merged
            segments = range(max(merged - _SAMPLE_SEGMENTS * SEGMENT, 0), merged, SEGMENT)
            count = "SELECT count(*) FROM (SELECT 1 FROM idx.entries WHERE segment = ? AND customer = ? LIMIT ?)"
            sample = sum(self._read_number(count, segment, self._hash, _SAMPLE_ENTRIES) for segment in segments)
            self._rarer = rare < sample * merged // SEGMENT // max(len(segments), 1)
        return self._rarer

    _rarer: bool | None = None

    def _read_number(self, statement: str, *values: int) -> int:
        return int(self._connection.execute(statement, values).fetchone()[0])


def _merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Merges ranges, sorted by their beginning, over overlaps and small gaps."""
    merged: list[Range] = []
    for low, high in ranges:
        if merged and low - merged[-1][1] <= _GAP:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return merged


def _join_ranges(ranges: Iterable[Range]) -> Iterator[Range]:
    """Joins adjacent ranges, which come in descending order without overlaps."""
    low = high = -1
    for first, stop in ranges:
        if high >= 0 and low == stop:
            low = first
            continue
        if high >= 0:
            yield low, high
        low, high = first, stop
    if high >= 0:
        yield low, high


def _time_conditions(query: OrderListQuery) -> tuple[str, list[int]]:
    bounds = ((">=", query.since), ("<", query.until))
    found = [(sign, moment) for sign, moment in bounds if moment is not None]
    return "".join(f" AND o.received {sign} ?" for sign, _ in found), [moment for _, moment in found]
