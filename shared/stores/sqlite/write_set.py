"""The changes of one commit: gathered item by item, and written with a few statements at the end."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.domain.records import Index, Item, Record, Table
from shared.stores.keys import expiry_keys, index_keys, is_at_same_place, tenant_of
from shared.stores.sqlite.database import Connection
from shared.stores.sqlite.item_cache import CachedItem, Place
from shared.stores.sqlite.key_migration import ENTER, expiry_name, floor_row
from shared.stores.sqlite.record_changes import CHANGED, NO_IMAGE

_PUT = "INSERT OR REPLACE INTO items (collection, partition, sort, version, document) VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM items WHERE collection = ? AND partition = ? AND sort = ?"
_LEAVE = """
DELETE FROM entries
WHERE collection = ? AND partition = ? AND sort = ? AND item_partition = ? AND item_sort = ?"""


class TableNumbers(NamedTuple):
    """A table with the numbers that stand for it, its indexes and its order of expiry in the file."""

    table: Table
    number: int
    indexes: list[tuple[Index, int]]
    movable: list[tuple[Index, int]]
    """The indexes in which an item can change its place: the others are by members of its key alone."""
    expiry: int


def number_tables(tables: Mapping[str, Table], names: Mapping[str, int]) -> dict[str, TableNumbers]:
    """Returns the numbers of all tables, by name."""
    return {name: _number_table(table, names) for name, table in tables.items()}


def _number_table(table: Table, names: Mapping[str, int]) -> TableNumbers:
    indexes = [(index, names[f"{table.name}/{index.name}"]) for index in table.kept_indexes]
    key = (None, table.partition, table.sort)
    movable = [found for found in indexes if found[0].partition not in key or found[0].sort not in key]
    expiry = 0 if table.expires is None else names[expiry_name(table)]
    return TableNumbers(table, names[table.name], indexes, movable, expiry)


class WriteSet:
    """The items that one call has read, and its changes."""

    def __init__(self) -> None:
        self.found: dict[Place, CachedItem | None] = {}
        """Items as they are in the file."""
        self.rows: dict[Place, CachedItem | None] = {}
        """Items as they become; None for removed ones."""
        self.floors: dict[tuple[str, int], int] = {}
        """Raised highest removed versions, by table and bucket."""
        self.entries: set[Place] = set()
        """Entries of logs among `rows`, which are hardly ever read."""
        self._changes: list[tuple[Any, ...]] = []

    def change_item(
        self, place: Place, numbers: TableNumbers, old: CachedItem | None, new: CachedItem | None, now: int
    ) -> None:
        """Adds the change of an item at `now`, in microseconds since the epoch."""
        self.rows[place] = new
        if numbers.table.feed:
            before = NO_IMAGE if old is None else (old.record.version, old.document)
            behind = NO_IMAGE if new is None else (new.record.version, new.document)
            self._changes.append((numbers.number, place[1], now, *before, *behind))

    def store(self, connection: Connection, tables: Mapping[str, TableNumbers], names: Mapping[str, int]) -> None:
        """Writes all changes."""
        puts: list[tuple[Any, ...]] = []
        deletes: list[tuple[Any, ...]] = []
        enter: list[tuple[Any, ...]] = []
        leave: list[tuple[Any, ...]] = []
        for place, row in self.rows.items():
            name, partition, sort = place
            numbers = tables[name]
            if row is None:
                deletes.append((numbers.number, partition, sort))
            else:
                puts.append((numbers.number, partition, sort, row.record.version, row.document))
            found = self.found[place]
            indexes = numbers.indexes if found is None or row is None else numbers.movable
            if not indexes and not numbers.expiry:
                continue
            old = None if found is None else found.record
            new = None if row is None else row.record
            for number, before, behind in _list_moves(numbers, indexes, partition, old, new):
                if before is not None:
                    leave.append((number, *before, partition, sort))
                if behind is not None:
                    enter.append((number, *behind, partition, sort))
        puts += [floor_row(names, *bucket, version) for bucket, version in self.floors.items()]
        for statement, rows in (
            (_PUT, puts),
            (_DELETE, deletes),
            (_LEAVE, leave),
            (ENTER, enter),
            (CHANGED, self._changes),
        ):
            if rows:
                connection.executemany(statement, rows)


_Keys = tuple[str, str] | None


def _list_moves(
    numbers: TableNumbers,
    indexes: list[tuple[Index, int]],
    partition: str,
    old: Record | None,
    new: Record | None,
) -> list[tuple[int, _Keys, _Keys]]:
    """Returns those of `indexes` in which an item is at another place than before: number, the old and the new keys."""
    table, tenant = numbers.table, tenant_of(partition)
    before: Item | None = None if old is None else old.item
    behind: Item | None = None if new is None else new.item
    moves: list[tuple[int, _Keys, _Keys]] = []
    for index, number in indexes:
        if before is not None and behind is not None and is_at_same_place(index, before, behind):
            continue
        left = None if before is None else index_keys(table, index, tenant, before)
        entered = None if behind is None else index_keys(table, index, tenant, behind)
        if left != entered:
            moves.append((number, left, entered))
    if numbers.expiry:
        left = None if before is None else expiry_keys(table, before)
        entered = None if behind is None else expiry_keys(table, behind)
        if left != entered:
            moves.append((numbers.expiry, left, entered))
    return moves
