"""Archived orders: the register of archive files, reading from them, and deletion of the archived rows."""

import contextlib
import hashlib
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shared.domain.errors import StoreError
from shared.runtime.clock import read_clock
from shared.stores.archive_format import ENDING, ArchiveBlock, ArchiveContents, ArchivedOrder, read_block, read_contents
from shared.stores.orders import CANCELLED, DONE, FAILED, STATES
from shared.stores.outbox import Span, spans
from shared.stores.sqlite.database import Connection, Writer

DELETED_ROWS = 500
"""Rows that one transaction deletes; it blocks other writers for about a millisecond."""

_INSERT = """
INSERT INTO archives
    (first, last, file, orders, done, failed, cancelled, spans, blocks, bytes, sha256, at, move, removed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(number), 0) FROM moves), ?)"""
_COVERING = "SELECT file, spans, blocks FROM archives WHERE first <= ?1 AND last >= ?1 ORDER BY first DESC"
_STORED = "SELECT 1 FROM main.orders WHERE sequence IN (?, ?)"
_STORED_IN = "SELECT 1 FROM main.orders WHERE sequence BETWEEN ? AND ? LIMIT 1"
_FROM = "SELECT spans FROM archives WHERE last >= ? ORDER BY first"
_NEXT = """
SELECT first, file, spans, sha256 FROM archives
WHERE removed = 0 AND move <= (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'trimmed')
ORDER BY first LIMIT 1"""
_RAISE_FLOOR = """
INSERT INTO meta (name, value) VALUES ('floor', ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"""
_MONTH = re.compile(r"\d{4}-\d{2}")
_FILE = re.compile(rf"orders-(\d+)-(\d+){re.escape(ENDING)}")

_encode = msgspec.json.encode
_decode_spans = msgspec.json.Decoder(list[Span]).decode
_decode_blocks = msgspec.json.Decoder(list[ArchiveBlock]).decode


class ArchiveFile(NamedTuple):
    """A file of archived orders, by its name."""

    path: Path
    first: int
    last: int


def archive_name(first: int, last: int, received: int) -> str:
    """Returns the name relative to the archive folder; `received` (microseconds since the epoch) gives the month."""
    month = time.strftime("%Y-%m", time.gmtime(received // 1_000_000))
    return f"{month}/orders-{first:012d}-{last:012d}{ENDING}"


def is_archive_name(name: str) -> bool:
    """Whether a name relative to the archive folder has the format of `archive_name`."""
    month, _, file = name.partition("/")
    return _MONTH.fullmatch(month) is not None and _FILE.fullmatch(file) is not None


def archived_names(connection: Connection) -> list[str]:
    """Returns the names of all archive files; none if the schema is older than archives."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'archives'").fetchone() is None:
        return []
    return [name for (name,) in connection.execute("SELECT file FROM archives ORDER BY first").fetchall()]


def archive_files(folder: Path) -> list[ArchiveFile]:
    """Returns the archive files in a folder, those with the newest orders first."""
    found = []
    for path in folder.glob(f"*/orders-*{ENDING}"):
        if match := _FILE.fullmatch(path.name):
            found.append(ArchiveFile(path, int(match[1]), int(match[2])))
    return sorted(found, key=lambda file: file.last, reverse=True)


def add_archive(
    connection: Connection, name: str, data: bytes, contents: ArchiveContents, *, removed: bool = False
) -> None:
    """Registers a file, within the caller's transaction; `removed` means that the rows of its orders are deleted."""
    sequences = contents.sequences
    counts = [contents.states.get(STATES[state], 0) for state in (DONE, FAILED, CANCELLED)]
    row = (
        *(sequences[0], sequences[-1], name, len(sequences), *counts),
        _encode(spans(sequences)).decode(),
        _encode(contents.blocks).decode(),
        *(len(data), hashlib.sha256(data).hexdigest(), read_clock(), removed),
    )
    connection.execute(_INSERT, row)


def find_unknown_archives(
    folder: Path, orders: Connection, progress: Connection, node: int
) -> dict[str, ArchiveContents]:
    """Returns the contents of archive files that `progress` does not list although their rows are deleted, by name.

    This happens if `progress` is older than the archive, for example after a restore. Unreadable files are skipped.
    """
    known = set(archived_names(progress))
    found: dict[str, ArchiveContents] = {}
    for file in archive_files(folder):
        name = file.path.relative_to(folder).as_posix()
        if name in known or orders.execute(_STORED, (file.first, file.last)).fetchone() is not None:
            continue
        with contextlib.suppress(StoreError):
            contents = read_contents(file.path)
            if contents.node == node and not any(
                orders.execute(_STORED_IN, (first, first + count - 1)).fetchone()
                for first, count in spans(contents.sequences)
            ):
                found[name] = contents
    return found


def find_archived(connection: Connection, folder: Path, sequence: int) -> ArchivedOrder | None:
    """Returns an archived order; takes about 2 ms. Raises StoreError."""
    for file, text, blocks in connection.execute(_COVERING, (sequence,)).fetchall():
        if _contains(_decode_spans(text), sequence):
            parts = _decode_blocks(blocks)
            place = bisect_right(parts, sequence, key=lambda block: block.first) - 1
            end = parts[place + 1].offset if place + 1 < len(parts) else None
            orders = read_block(folder / file, parts[place].offset, end)
            return next((one for one in orders if one.sequence == sequence), None)
    return None


def is_archived(connection: Connection, sequence: int) -> bool:
    """Whether an order is archived, even if its row is not deleted yet."""
    rows = connection.execute(_COVERING, (sequence,)).fetchall()
    return any(_contains(_decode_spans(spans), sequence) for _, spans, _ in rows)


def archived_spans(connection: Connection, first: int) -> Iterator[Span]:
    """Yields the spans of the archive files that have orders from the sequence `first` on."""
    for (text,) in connection.execute(_FROM, (first,)).fetchall():
        yield from _decode_spans(text)


class ArchivedRowRemover:
    """Deletes the rows of archived orders in chunks.

    Rows of `orders` are deleted first: an order without progress would look like one that no worker has begun.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: int | None = None
        self._portions: list[tuple[int, int]] = []
        self._place = 0

    def find_rows(self, progress: Connection) -> bool:
        """Whether there are rows to delete. Raises StoreError if the archive file with the orders is damaged."""
        if self._first is None and (row := progress.execute(_NEXT).fetchone()) is not None:
            first, file, spans, sha256 = row
            _check_file(self._folder / file, sha256)
            self._first, self._portions, self._place = first, list(_split_spans(_decode_spans(spans))), 0
        return self._first is not None

    @property
    def orders_left(self) -> bool:
        """Whether there are rows of `orders` to delete; rows of progress are deleted after all of them."""
        return self._place < len(self._portions)

    def delete_orders(self, connection: Connection) -> None:
        """Deletes one chunk from `orders` in the caller's transaction; call `finish_chunk` after the commit."""
        first, last = self._portions[self._place]
        connection.execute("DELETE FROM orders WHERE sequence BETWEEN ? AND ?", (first, last))
        # Prevents reuse of the sequences, even if no order is left.
        connection.execute(_RAISE_FLOOR, (last,))

    def finish_chunk(self) -> None:
        """Marks the chunk as deleted."""
        self._place += 1

    def delete_progress(self, progress: Writer, portions: int) -> None:
        """Deletes up to `portions` chunks from progress in one transaction; marks the file when all are deleted."""
        done = self._place - len(self._portions)
        some = self._portions[done : done + portions]
        with progress.transaction(DELETED_ROWS * len(some)) as connection:
            for table in ("attempts", "stragglers", "progress"):
                connection.executemany(f"DELETE FROM {table} WHERE sequence BETWEEN ? AND ?", some)
            if done + len(some) == len(self._portions):
                connection.execute("UPDATE archives SET removed = 1 WHERE first = ?", (self._first,))
        self._place += len(some)
        if self._place == 2 * len(self._portions):
            self._first = None


def _split_spans(spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    for first, count in spans:
        stop = first + count
        for begin in range(first, stop, DELETED_ROWS):
            yield begin, min(begin + DELETED_ROWS, stop) - 1


def _contains(spans: Sequence[Span], sequence: int) -> bool:
    place = bisect_right(spans, sequence, key=lambda span: span[0]) - 1
    return place >= 0 and sequence < spans[place][0] + spans[place][1]


def _check_file(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found: Any = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(
            f"the archive {path} cannot be read: {error.strerror}", hint="bring it back; its orders are kept until then"
        ) from error
    if found != sha256:
        raise StoreError(f"the archive {path} is damaged", hint="restore it from a backup; its orders are kept so far")
