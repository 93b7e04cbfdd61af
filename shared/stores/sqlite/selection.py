"""SQL statements that read the items of a query from the end of the previous page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from shared.stores.keys import key_text, prefix_end
from shared.stores.ports.records import RecordQuery

_WINDOW = 50_000
_ITEMS = "items i WHERE i.collection = ? AND i.partition = ?"
_JOINED = """entries e JOIN items i ON i.collection = ? AND i.partition = e.item_partition AND i.sort = e.item_sort
    WHERE e.collection = ? AND e.partition = ?"""
_ENTRIES = "entries e WHERE e.collection = ? AND e.partition = ?"


class SqliteSelection(NamedTuple):
    """A query with the numbers of its table and index in the file, and its partition.

    With `member` it selects only items in which this member has the value of the query's partition. They are searched
    in windows, since a long read prevents reuse of the write-ahead log.
    """

    query: RecordQuery
    items: int
    entries: int | None
    partition: str
    member: str | None

    def select_statement(self, window: Sequence[str] | None) -> tuple[str, list[Any]]:
        """Returns the statement and its values. Columns: version, document, position. `window` is the last place."""
        if self.entries is None:
            source, values = _ITEMS, [self.items, self.partition]
        else:
            source, values = _JOINED, [self.items, self.entries, self.partition]
        conditions, more = self._bound_conditions()
        if window is not None:
            conditions.append(f"({', '.join(self._place_columns)}) {'>=' if self.query.descending else '<='} (?, ?, ?)")
            more += window
        if self.member is not None:
            conditions.append(f"json_extract(i.document, '$.\"{self.member}\"') = ?")
            more.append(self.query.partition)
        columns = f"i.version, i.document, i.partition, i.sort, {self._place_columns[0]}"
        where = "".join(f" AND {condition}" for condition in conditions)
        return f"SELECT {columns} FROM {source}{where} ORDER BY {self._order_clause}", values + more

    def window_statement(self) -> tuple[str, list[Any]]:
        """Returns the statement that finds the last place of the next window."""
        conditions, values = self._bound_conditions()
        where = "".join(f" AND {condition}" for condition in conditions)
        select = f"SELECT {', '.join(self._place_columns)} FROM {_ENTRIES}{where} ORDER BY {self._order_clause}"
        return f"{select} LIMIT 1 OFFSET {_WINDOW}", [self.entries, self.partition, *values]

    @property
    def _place_columns(self) -> list[str]:
        return ["i.sort", "i.partition"] if self.entries is None else ["e.sort", "e.item_partition", "e.item_sort"]

    @property
    def _order_clause(self) -> str:
        return ", ".join(f"{place} {'DESC' if self.query.descending else 'ASC'}" for place in self._place_columns)

    def _bound_conditions(self) -> tuple[list[str], list[Any]]:
        query = self.query
        found = (
            (">=", None if query.low is None else key_text(query.low)),
            ("<=", None if query.high is None else key_text(query.high)),
            (">=", query.prefix),
            ("<", prefix_end(query.prefix) or None if query.prefix else None),
        )
        bounds = [(sign, value) for sign, value in found if value is not None]
        conditions = [f"{self._place_columns[0]} {sign} ?" for sign, _ in bounds]
        values: list[Any] = [value for _, value in bounds]
        if query.after is not None:
            places = self._place_columns
            conditions.append(
                f"({', '.join(places)}) {'<' if query.descending else '>'} ({', '.join('?' * len(places))})"
            )
            after = query.after
            values += [after.sort, after.partition] if self.entries is None else [after.index_sort, *after[:2]]
        return conditions, values
