"""Reads a CSV file of stock, `store,item,count`, in chunks of any size.

The reader does no I/O: it takes bytes and returns rows and errors. A file is refused as a whole only before its
first row; after the header line each error belongs to one line, and reading continues with the next line. The
result does not depend on the chunk boundaries.
"""

import hashlib
import re
import unicodedata
from typing import NamedTuple

from msgspec import Struct

from shared.csv.cells import printable_text, read_count, read_name, split_cells
from shared.csv.header import (
    DELIMITERS,
    HEADER_HINT,
    MAX_COLUMNS,
    CsvHeader,
    empty_file_error,
    header_error,
    read_header,
)
from shared.csv.lines import CellError, LineReader
from shared.domain.errors import InvalidParams
from shared.domain.names import SEPARATOR, fold_names
from shared.domain.stock import MAX_ITEM_BYTES, MAX_ITEM_CHARACTERS, MAX_STORE_BYTES, MAX_STORE_CHARACTERS

KEPT_ERRORS = 100
MAX_BAD_LINES = 100_000
"""Limit of lines without a valid row (blank lines excluded): each costs ten times as much as a valid row."""
MAX_LINES_BEFORE_HEADER = 1000
_BLANKS = " \t\xa0"

_SEPARATOR_LINE = re.compile(r'"?sep=(?P<delimiter>.)"?', re.IGNORECASE)
"""A line that declares the delimiter to spreadsheets."""

# Shorter texts need no check of their size in bytes: a character has at most four.
_SHORT_STORE = min(MAX_STORE_CHARACTERS, MAX_STORE_BYTES // 4)
_SHORT_ITEM = min(MAX_ITEM_CHARACTERS, MAX_ITEM_BYTES // 4)
_SHORT_COUNT = 9


class StockRow(NamedTuple):
    """One valid row and its line number, counted from 1."""

    line: int
    store: str
    item: str
    count: int  # type: ignore[assignment] # hides tuple.count, which a row does not need


class RowError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error in a row or one of its cells, as responses contain it.

    `line` and `column` are counted from 1, the column in characters. `field` is None for the row as a whole.
    """

    line: int
    column: int
    field: str | None = None
    expected: str
    found: str


class CsvReader:
    """The reader of one file.

    It buffers one unfinished line and keeps 64 bits of each row to find duplicates.
    """

    def __init__(self) -> None:
        self.errors: list[RowError] = []
        """The first KEPT_ERRORS errors, in the order of the file."""
        self.error_count = 0
        self._bad_lines = 0
        self.rows = 0
        """Number of valid rows so far."""
        self._lines = LineReader()
        self._line = 0
        self._delimiters = DELIMITERS
        self._header: CsvHeader | None = None
        self._refusal: InvalidParams | None = None
        self._seen: dict[int, int] = {}
        """Line number of each row, by a hash of its store and item."""
        self._hash = hashlib.sha256()

    @property
    def encoding(self) -> str:
        """The encoding detected so far: utf-8, utf-16 or windows-1252."""
        return self._lines.encoding

    @property
    def delimiter(self) -> str:
        """The delimiter of cells; empty before the header line."""
        return "" if self._header is None else self._header.delimiter

    @property
    def digest(self) -> str:
        """SHA-256 of all bytes so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def feed(self, data: bytes) -> list[StockRow]:
        """Returns the valid rows that `data` completes.

        Raises InvalidParams if the file is not CSV of stock; every further call then raises the same error.
        """
        self._hash.update(data)
        return self._read_rows(data, last=False)

    def finish(self) -> list[StockRow]:
        """Returns the valid row of a last line without line end. Raises InvalidParams like `feed`."""
        return self._read_rows(b"", last=True)

    def _read_rows(self, data: bytes, *, last: bool) -> list[StockRow]:
        if self._refusal is not None:
            raise self._refusal
        rows: list[StockRow] = []
        try:
            for part in self._lines.finish() if last else self._lines.feed(data):
                if isinstance(part, CellError):
                    self._reject_line(part)
                else:
                    rows += self._parse_lines(part)
            if last and self._header is None:
                raise empty_file_error()
        except InvalidParams as refusal:
            self._refusal = refusal
            raise
        self.rows += len(rows)
        return rows

    def _reject_line(self, flaw: CellError) -> None:
        self._line += 1
        if self._header is None:
            raise header_error(flaw, self._line)
        self._add_error(flaw, self._line)
        self._count_bad_line(self._line)

    def _parse_lines(self, lines: list[str]) -> list[StockRow]:
        """Returns the valid rows of consecutive lines."""
        start = 0
        while self._header is None:
            if start == len(lines):
                return []
            self._parse_preamble(lines[start])
            start += 1
        header = self._header
        delimiter, width = header.delimiter, header.width
        blanks = delimiter + _BLANKS
        store_at, item_at, count_at = header.store, header.item, header.count
        seen = self._seen
        is_normalized = unicodedata.is_normalized
        rows: list[StockRow] = []
        number = self._line
        for line in lines[start:] if start else lines:
            number += 1
            if not line:
                continue
            cells = line.split(delimiter, width)
            if len(cells) == width and '"' not in line:
                # The fast path for common rows; the slow path accepts the same rows and reports errors.
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
                    rows.append(StockRow(number, store, item, int(count)))
                    continue
            if not line.strip(blanks):
                continue
            row = self._read_carefully(line, number, header)
            if row is not None:
                rows.append(row)
            else:
                self._count_bad_line(number)
        self._line = number
        return rows

    def _parse_preamble(self, line: str) -> None:
        """Parses a line before the first row: blank, a delimiter declaration, or the header."""
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
                f"the delimiter {printable_text(separator['delimiter'])} is not known",
                line=self._line,
                hint="cells can be separated by a comma, a semicolon, a tab or |",
            )

    def _count_bad_line(self, number: int) -> None:
        """Counts a line without a valid row. Raises InvalidParams after MAX_BAD_LINES of them."""
        self._bad_lines += 1
        if self._bad_lines > MAX_BAD_LINES:
            raise InvalidParams(
                f"more than {MAX_BAD_LINES} lines of the file have no good row",
                line=number,
                hint="look at the faults of its first lines; send files of good rows",
            )

    def _read_carefully(self, line: str, number: int, header: CsvHeader) -> StockRow | None:
        """Reads one line cell by cell and records its errors."""
        if (delimiters := line.count(header.delimiter)) >= MAX_COLUMNS:
            self._add_error(
                CellError(1, f"at most {_format_cells(MAX_COLUMNS)}", _format_cells(delimiters + 1)), number
            )
            return None
        cells = split_cells(line, header.delimiter)
        if isinstance(cells, CellError):
            self._add_error(cells, number)
            return None
        if not any(cell.text for cell in cells):
            return None
        if len(cells) != header.width:
            few = len(cells) < header.width
            column = len(line) + 1 if few else cells[header.width].column
            self._add_error(CellError(column, _format_cells(header.width), _format_cells(len(cells))), number)
            return None
        store_cell, item_cell, count_cell = cells[header.store], cells[header.item], cells[header.count]
        store = read_name(store_cell, characters=MAX_STORE_CHARACTERS, size=MAX_STORE_BYTES)
        item = read_name(item_cell, characters=MAX_ITEM_CHARACTERS, size=MAX_ITEM_BYTES)
        count = read_count(count_cell)
        if isinstance(store, CellError):
            self._add_error(store, number, "store")
        if isinstance(item, CellError):
            self._add_error(item, number, "item")
        if isinstance(count, CellError):
            self._add_error(count, number, "count")
        if isinstance(store, CellError) or isinstance(item, CellError) or isinstance(count, CellError):
            return None
        first = self._seen.setdefault(_row_hash(store, item), number)
        if first != number:
            found = f"{printable_text(item)} of {printable_text(store)}, which stands on line {first} already"
            self._add_error(CellError(item_cell.column, "each item of a store once", found), number, "item")
            return None
        return StockRow(number, store, item, count)

    def _add_error(self, flaw: CellError, number: int, field: str | None = None) -> None:
        self.error_count += 1
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(
                RowError(line=number, column=flaw.column, field=field, expected=flaw.expected, found=flaw.found)
            )


def _row_hash(store: str, item: str) -> int:
    """Returns the hash of a row's names in their normal form; names have no control characters."""
    names = f"{store}{SEPARATOR}{item}"
    plain = names.isascii() and "  " not in names
    return hash(names.lower() if plain else fold_names(names))


def _format_cells(number: int) -> str:
    return f"{number} cell" if number == 1 else f"{number} cells"
