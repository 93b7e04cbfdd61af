"""Reads a CSV file of stock, `store,item,count`, in pieces of any size.

Bytes in, rows and faults out; no sockets. A file is refused as a whole before its first row or not at
all: behind the header line, whatever is wrong is a fault of its own line, and the next line is read
afresh. How the bytes are cut makes no difference.
"""

import hashlib
import re
import unicodedata
from typing import NamedTuple

from msgspec import Struct

from shared.csv.cells import read_count, read_name, shown, split_cells
from shared.csv.header import (
    DELIMITERS,
    HEADER_HINT,
    MAX_COLUMNS,
    Header,
    no_header,
    read_header,
    unreadable_header,
)
from shared.csv.lines import Flaw, LineReader
from shared.domain.errors import InvalidParams
from shared.domain.names import SEPARATOR, fold_names
from shared.domain.stock import MAX_ITEM_BYTES, MAX_ITEM_CHARACTERS, MAX_STORE_BYTES, MAX_STORE_CHARACTERS

KEPT_FAULTS = 100
MAX_WASTED_LINES = 100_000
"""Lines without a good row, blank ones aside: each costs ten times what a good row does."""
MAX_LINES_BEFORE_HEADER = 1000
_BLANKS = " \t\xa0"

_SEPARATOR_LINE = re.compile(r'"?sep=(?P<delimiter>.)"?', re.IGNORECASE)
"""With this line spreadsheets are told the delimiter."""

# Shorter ones need no look at their bytes, as no character has more than four.
_SHORT_STORE = min(MAX_STORE_CHARACTERS, MAX_STORE_BYTES // 4)
_SHORT_ITEM = min(MAX_ITEM_CHARACTERS, MAX_ITEM_BYTES // 4)
_SHORT_COUNT = 9


class Row(NamedTuple):
    """One good row, and the line that it stands on, counted from 1."""

    line: int
    store: str
    item: str
    count: int  # type: ignore[assignment] # nobody counts the members of a row


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with a row or one of its cells, as an answer shows it.

    `line` and `column` are counted from 1, the column in characters. `field` is None for the row as a whole.
    """

    line: int
    column: int
    field: str | None = None
    expected: str
    found: str


class SheetReader:
    """The reader of one file.

    Of the file it holds one unfinished line and, to find a row that stands there twice, 64 bits of each row.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        """The first KEPT_FAULTS faults, in the order of the file."""
        self.fault_count = 0
        self._wasted = 0
        self.rows = 0
        """How many good rows there have been."""
        self._lines = LineReader()
        self._line = 0
        self._delimiters = DELIMITERS
        self._header: Header | None = None
        self._refusal: InvalidParams | None = None
        self._seen: dict[int, int] = {}
        """The line of each row, by a hash of its store and item."""
        self._hash = hashlib.sha256()

    @property
    def encoding(self) -> str:
        """What the file has been taken for so far: utf-8, utf-16 or windows-1252."""
        return self._lines.encoding

    @property
    def delimiter(self) -> str:
        """What stands between two cells; empty before the header line."""
        return "" if self._header is None else self._header.delimiter

    @property
    def digest(self) -> str:
        """SHA-256 of all bytes so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def feed(self, data: bytes) -> list[Row]:
        """The good rows that `data` completes.

        Raises InvalidParams when the file is not CSV of stock; every further call then raises the same.
        """
        self._hash.update(data)
        return self._read(data, last=False)

    def finish(self) -> list[Row]:
        """The good row at the end of the file, if no line end has followed it. Raises InvalidParams as `feed` does."""
        return self._read(b"", last=True)

    def _read(self, data: bytes, *, last: bool) -> list[Row]:
        if self._refusal is not None:
            raise self._refusal
        rows: list[Row] = []
        try:
            for part in self._lines.finish() if last else self._lines.feed(data):
                if isinstance(part, Flaw):
                    self._unreadable(part)
                else:
                    rows += self._take(part)
            if last and self._header is None:
                raise no_header()
        except InvalidParams as refusal:
            self._refusal = refusal
            raise
        self.rows += len(rows)
        return rows

    def _unreadable(self, flaw: Flaw) -> None:
        self._line += 1
        if self._header is None:
            raise unreadable_header(flaw, self._line)
        self._fault(flaw, self._line)
        self._waste(self._line)

    def _take(self, lines: list[str]) -> list[Row]:
        """The good rows among consecutive lines."""
        start = 0
        while self._header is None:
            if start == len(lines):
                return []
            self._begin(lines[start])
            start += 1
        header = self._header
        delimiter, width = header.delimiter, header.width
        blanks = delimiter + _BLANKS
        store_at, item_at, count_at = header.store, header.item, header.count
        seen = self._seen
        is_normalized = unicodedata.is_normalized
        rows: list[Row] = []
        number = self._line
        for line in lines[start:] if start else lines:
            number += 1
            if not line:
                continue
            cells = line.split(delimiter, width)
            if len(cells) == width and '"' not in line:
                # The common row; whatever is not one goes the careful way, which says the same of both.
                store = cells[store_at].strip()
                item = cells[item_at].strip()
                count = cells[count_at]
                names = store + item
                if (
                    0 < len(store) <= _SHORT_STORE
                    and 0 < len(item) <= _SHORT_ITEM
                    and len(count) <= _SHORT_COUNT
                    and count.isdigit()
                    and names.isprintable()
                    and "'" not in names
                    and (
                        line.isascii()
                        or (
                            count.isascii()
                            and "\ufffd" not in names
                            and is_normalized("NFC", store)
                            and is_normalized("NFC", item)
                            and 0 < len(fold_names(store)) <= _SHORT_STORE
                            and 0 < len(fold_names(item)) <= _SHORT_ITEM
                        )
                    )
                    and seen.setdefault(_row_hash(store, item), number) == number
                ):
                    rows.append(Row(number, store, item, int(count)))
                    continue
            if not line.strip(blanks):
                continue
            row = self._read_carefully(line, number, header)
            if row is not None:
                rows.append(row)
            else:
                self._waste(number)
        self._line = number
        return rows

    def _begin(self, line: str) -> None:
        """Takes a line from before the first row."""
        self._line += 1
        if self._line > MAX_LINES_BEFORE_HEADER:
            raise InvalidParams(
                f"none of the first {MAX_LINES_BEFORE_HEADER} lines is a header", line=self._line, hint=HEADER_HINT
            )
        if not line.strip():
            return
        separator = _SEPARATOR_LINE.fullmatch(line)
        if separator is None:
            self._header = read_header(line, self._line, self._delimiters)
        elif separator["delimiter"] in DELIMITERS:
            self._delimiters = separator["delimiter"]
        else:
            raise InvalidParams(
                f"the delimiter {shown(separator['delimiter'])} is not known",
                line=self._line,
                hint="cells can be separated by a comma, a semicolon, a tab or |",
            )

    def _waste(self, number: int) -> None:
        """Counts a line that has cost a close look and given no row. Raises InvalidParams for too many of them."""
        self._wasted += 1
        if self._wasted > MAX_WASTED_LINES:
            raise InvalidParams(
                f"more than {MAX_WASTED_LINES} lines of the file have no good row",
                line=number,
                hint="look at the faults of its first lines; send files of good rows",
            )

    def _read_carefully(self, line: str, number: int, header: Header) -> Row | None:
        """Reads one line cell by cell; writes down what is wrong with it."""
        if (delimiters := line.count(header.delimiter)) >= MAX_COLUMNS:
            self._fault(Flaw(1, f"at most {_cells(MAX_COLUMNS)}", _cells(delimiters + 1)), number)
            return None
        cells = split_cells(line, header.delimiter)
        if isinstance(cells, Flaw):
            self._fault(cells, number)
            return None
        if not any(cell.text for cell in cells):
            return None
        if len(cells) != header.width:
            few = len(cells) < header.width
            column = len(line) + 1 if few else cells[header.width].column
            self._fault(Flaw(column, _cells(header.width), _cells(len(cells))), number)
            return None
        store_cell, item_cell, count_cell = cells[header.store], cells[header.item], cells[header.count]
        store = read_name(store_cell, characters=MAX_STORE_CHARACTERS, size=MAX_STORE_BYTES)
        item = read_name(item_cell, characters=MAX_ITEM_CHARACTERS, size=MAX_ITEM_BYTES)
        count = read_count(count_cell)
        if isinstance(store, Flaw):
            self._fault(store, number, "store")
        if isinstance(item, Flaw):
            self._fault(item, number, "item")
        if isinstance(count, Flaw):
            self._fault(count, number, "count")
        if isinstance(store, Flaw) or isinstance(item, Flaw) or isinstance(count, Flaw):
            return None
        first = self._seen.setdefault(_row_hash(store, item), number)
        if first != number:
            found = f"{shown(item)} of {shown(store)}, which stands on line {first} already"
            self._fault(Flaw(item_cell.column, "each item of a store once", found), number, "item")
            return None
        return Row(number, store, item, count)

    def _fault(self, flaw: Flaw, number: int, field: str | None = None) -> None:
        self.fault_count += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(
                Fault(line=number, column=flaw.column, field=field, expected=flaw.expected, found=flaw.found)
            )


def _row_hash(store: str, item: str) -> int:
    """The hash of a row's names in the form in which they are compared; they have no control characters."""
    names = f"{store}{SEPARATOR}{item}"
    plain = names.isascii() and "  " not in names
    return hash(names.lower() if plain else fold_names(names))


def _cells(number: int) -> str:
    return f"{number} cell" if number == 1 else f"{number} cells"
