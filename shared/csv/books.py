"""Reads a CSV file of books in chunks of any size: a header that names its columns, then a book in each line.

Catalogues come out of spreadsheets and other systems with faults, and the reader never makes up what they have lost:

- an ISBN that a spreadsheet took for a number lost its leading zeros; they are restored if the check digit fits then;
- a number that it shows as 9.78044E+12 has lost its last digits, so it is no ISBN;
- a value that is not what its column says (a wrong check digit, a year of letters) is left out, with a note;
- a row without a title, or with a price or a count that cannot be read, is an error and no book.
"""

import hashlib
import re
from decimal import Decimal
from typing import Any, Final, NamedTuple

from shared.csv.book_header import HEADER_HINT, BookHeader, read_book_header
from shared.csv.cells import Cell, printable_text, read_count, split_cells
from shared.csv.header import MAX_COLUMNS, header_error
from shared.csv.lines import CellError, LineReader
from shared.csv.reader import KEPT_ERRORS, MAX_BAD_LINES, RowError
from shared.domain.books import (
    FIRST_YEAR,
    MAX_AUTHOR,
    MAX_CATEGORY,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_PAGES,
    MAX_RATING,
    MAX_TITLE,
    check_price,
    check_rating,
    clean_text,
)
from shared.domain.errors import InvalidParams
from shared.domain.isbn import parse_isbn
from shared.domain.names import SEPARATOR, name_key

_TEXTS: Final = {
    "author": MAX_AUTHOR,
    "editorial": MAX_NAME,
    "category": MAX_CATEGORY,
    "subcategory": MAX_CATEGORY,
    "description": MAX_DESCRIPTION,
}
_SHORTEST_ISBN: Final = 7
_LOST_ZEROS = re.compile(rf"[0-9]{{{_SHORTEST_ISBN},9}}|[0-9]{{{_SHORTEST_ISBN - 1},8}}[Xx]", re.ASCII)
_SHOWN_AS_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE]\+?[0-9]{1,3})?", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,12}([.,][0-9]{1,12})?", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}", re.ASCII)


class BookRow(NamedTuple):
    """One valid row: its line, counted from 1, the members of its book, its claim, and its copies if it names them."""

    line: int
    claim: str
    """The key in `BookIsbns`: the ISBN, or a digest of title, author and year."""
    members: dict[str, Any]
    stock: int | None


class BookReader:
    """The reader of one file; prices are in a currency with `exponent` decimals."""

    def __init__(self, *, exponent: int, this_year: int) -> None:
        self.errors: list[RowError] = []
        """The first KEPT_ERRORS errors of rows that are no books."""
        self.error_count = 0
        self.notes: list[RowError] = []
        """The first KEPT_ERRORS values that were left out of their books."""
        self.note_count = 0
        self.rows = 0
        self.without_isbn = 0
        self._exponent = exponent
        self._last_year = this_year + 2
        self._lines = LineReader()
        self._line = 0
        self._header: BookHeader | None = None
        self._seen: dict[str, int] = {}
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of all bytes so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def feed(self, data: bytes) -> list[BookRow]:
        """Returns the valid rows that `data` completes. Raises InvalidParams if the file is no CSV of books."""
        self._hash.update(data)
        return self._read_parts(self._lines.feed(data))

    def finish(self) -> list[BookRow]:
        """Returns the valid row of a last line without line end. Raises InvalidParams like `feed`."""
        rows = self._read_parts(self._lines.finish())
        if self._header is None:
            raise InvalidParams("the file is empty", hint=HEADER_HINT)
        return rows

    def _read_parts(self, parts: list[list[str] | CellError]) -> list[BookRow]:
        rows: list[BookRow] = []
        for part in parts:
            if isinstance(part, CellError):
                self._line += 1
                if self._header is None:
                    raise header_error(part, self._line)
                self._reject(part, None)
                continue
            for line in part:
                self._line += 1
                if not line.strip():
                    continue
                if self._header is None:
                    self._header = read_book_header(line, self._line)
                elif (row := self._read_row(line, self._header)) is not None:
                    rows.append(row)
        self.rows += len(rows)
        return rows

    def _read_row(self, line: str, header: BookHeader) -> BookRow | None:
        cells = split_cells(line, header.delimiter) if line.count(header.delimiter) < MAX_COLUMNS else None
        if cells is None or isinstance(cells, CellError):
            self._reject(cells or CellError(1, f"at most {MAX_COLUMNS} cells", "more"), None)
            return None
        if len(cells) != header.width:
            at = len(line) + 1 if len(cells) < header.width else cells[header.width].column
            self._reject(CellError(at, f"{header.width} cells", f"{len(cells)} cells"), None)
            return None
        named = {field: cells[place] for field, place in header.places.items()}
        members: dict[str, Any] = {}
        stock: int | None = None
        try:
            members["title"] = self._read_text(named["title"], "title", MAX_TITLE, required=True)
            for field, limit in _TEXTS.items():
                if field in named:
                    members[field] = self._read_text(named[field], field, limit)
            if (cell := named.get("price")) is not None and cell.text:
                members["price"] = self._read_price(cell)
            if (cell := named.get("stock")) is not None and cell.text:
                stock = _check_count(cell)
        except _BadCell as error:
            self._reject(error.flaw, error.field)
            return None
        members["isbn"] = isbn = self._read_isbn(named)
        members |= self._read_facts(named)
        claim = isbn or _claim_without_isbn(members)
        first = self._seen.setdefault(claim, self._line)
        if first != self._line:
            found = f"{printable_text(members['title'])}, which stands on line {first} already"
            self._reject(CellError(named["title"].column, "each book once", found), "isbn" if isbn else "title")
            return None
        self.without_isbn += isbn is None
        return BookRow(self._line, claim, members, stock)

    def _read_text(self, cell: Cell, field: str, limit: int, *, required: bool = False) -> str:
        try:
            return clean_text(" ".join(cell.text.split()), field, limit, required=required)
        except InvalidParams as error:
            raise _BadCell(CellError(cell.column, error.message, printable_text(cell.text)), field) from None

    def _read_price(self, cell: Cell) -> int:
        try:
            return check_price(_parse_number(cell.text), self._exponent)
        except (InvalidParams, ValueError):
            expected = f"a price with at most {self._exponent} decimals, more than 0"
            raise _BadCell(CellError(cell.column, expected, printable_text(cell.text)), "price") from None

    def _read_isbn(self, named: dict[str, Cell]) -> str | None:
        """Returns the first ISBN of the row that can be read, with a note for one whose check digit is wrong."""
        wrong: Cell | None = None
        for field in ("isbn", "isbn13"):
            cell = named.get(field)
            if cell is None or not cell.text:
                continue
            try:
                return parse_isbn(_restore_zeros(cell.text))
            except InvalidParams:
                # A column of numbers that lost their digits says nothing, in every row.
                if field == "isbn" or not _SHOWN_AS_NUMBER.fullmatch(cell.text):
                    wrong = wrong or cell
        if wrong is not None:
            self._note(wrong, "isbn", "an ISBN with its check digit")
        return None

    def _read_facts(self, named: dict[str, Cell]) -> dict[str, Any]:
        """Returns the values that a book can do without, with a note for each that cannot be read."""
        found: dict[str, Any] = {}
        if (language := named.get("language")) is not None and language.text:
            if _LANGUAGE.fullmatch(language.text):
                found["language"] = language.text
            else:
                self._note(language, "language", "a language such as es or en-US")
        for field, low, high in (
            ("publication_year", FIRST_YEAR, self._last_year),
            ("pages", 1, MAX_PAGES),
            ("ratings", 0, 10**12),
        ):
            if (cell := named.get(field)) is not None and cell.text:
                try:
                    found[field] = _parse_whole(cell.text, low, high)
                except ValueError:
                    self._note(cell, field, f"a whole number from {low} to {high}")
        if (cell := named.get("rating")) is not None and cell.text:
            try:
                found["rating"] = check_rating(_parse_number(cell.text))
            except (InvalidParams, ValueError):
                self._note(cell, "rating", f"a number from 0 to {MAX_RATING} with at most 2 decimals")
        return found

    def _note(self, cell: Cell, field: str, expected: str) -> None:
        self.note_count += 1
        if len(self.notes) < KEPT_ERRORS:
            found = printable_text(cell.text)
            self.notes.append(
                RowError(line=self._line, column=cell.column, field=field, expected=expected, found=found)
            )

    def _reject(self, flaw: CellError, field: str | None) -> None:
        """Counts a row that is no book. Raises InvalidParams after MAX_BAD_LINES of them."""
        self.error_count += 1
        if len(self.errors) < KEPT_ERRORS:
            error = RowError(line=self._line, column=flaw.column, field=field, expected=flaw.expected, found=flaw.found)
            self.errors.append(error)
        if self.error_count > MAX_BAD_LINES:
            raise InvalidParams(f"more than {MAX_BAD_LINES} lines of the file have no book", line=self._line)


class _BadCell(Exception):
    """The error of a cell without which there is no book."""

    def __init__(self, flaw: CellError, field: str) -> None:
        super().__init__(flaw.expected)
        self.flaw = flaw
        self.field = field


def _claim_without_isbn(members: dict[str, Any]) -> str:
    """Returns the key of a book without an ISBN: the same title, author and year are the same book."""
    names = (members["title"], members.get("author", ""), str(members.get("publication_year", "")))
    digest = hashlib.sha256(SEPARATOR.join(map(name_key, names)).encode()).hexdigest()
    return f"title:{digest[:32]}"


def _restore_zeros(text: str) -> str:
    """Returns an ISBN of 10 digits with the leading zeros that a spreadsheet has removed.

    >>> _restore_zeros("439023483")
    '0439023483'
    """
    return text.zfill(10) if _LOST_ZEROS.fullmatch(text) else text


def _check_count(cell: Cell) -> int:
    count = read_count(cell)
    if isinstance(count, CellError):
        raise _BadCell(count, "stock")
    return count


def _parse_number(text: str) -> Decimal:
    """Returns a number with a decimal point or comma. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text.replace(",", "."))


def _parse_whole(text: str, low: int, high: int) -> int:
    """Returns a whole number from `low` to `high`, also one that a spreadsheet wrote as 2008.0. Raises ValueError."""
    number = _parse_number(text)
    whole = int(number)
    if whole != number or not low <= whole <= high:
        raise ValueError(text)
    return whole
