"""The header line of a CSV file of stock. It determines the delimiter and the column of each field."""

import unicodedata

from msgspec import Struct

from shared.csv.cells import Cell, printable_text, read_count, split_cells
from shared.csv.lines import SAVE_AS_CSV, CellError
from shared.domain.errors import InvalidParams

FIELDS = ("store", "item", "count")
DELIMITERS = ",;\t|"
MAX_COLUMNS = 1000

_WORDS = (
    {
        "store": "store",
        "tienda": "store",
        "almacen": "store",
        "item": "item",
        "articulo": "item",
        "producto": "item",
        "count": "count",
        "cantidad": "count",
        "existencias": "count",
        "unidades": "count",
    },
    {"product": "item", "quantity": "count", "stock": "count"},
)
"""Names of the columns, without accents. The second group is used for fields that no name of the first matches."""
_WORD_CHARACTERS = 40
_SHOWN_NAMES = 10
HEADER_HINT = "the first line must name the columns store, item and count"


class CsvHeader(Struct, frozen=True):
    """A parsed header line: the delimiter, the number of columns, and the column of each field, from 0."""

    delimiter: str
    width: int
    store: int
    item: int
    count: int


def empty_file_error() -> InvalidParams:
    """Returns the error for a file without lines."""
    return InvalidParams("the file is empty", hint=HEADER_HINT)


def header_error(flaw: CellError, number: int) -> InvalidParams:
    """Returns the error for a file whose header line (line `number`) cannot be read."""
    return InvalidParams(
        f"the header line cannot be read: expected {flaw.expected}, found {flaw.found}",
        line=number,
        column=flaw.column,
        hint=SAVE_AS_CSV,
    )


def read_header(line: str, number: int, delimiters: str = DELIMITERS) -> CsvHeader:
    """Reads the header line of a file (line `number`); columns other than the three fields are ignored.

    Raises InvalidParams when it does not name each field once.
    """
    if "\0" in line:
        utf_16 = not line[::2].strip("\0") or not line[1::2].strip("\0")
        kind = "UTF-16 without a byte-order mark" if utf_16 else "a binary file"
        raise InvalidParams(f"the file is not CSV: it looks like {kind}", line=number, hint=SAVE_AS_CSV)
    best: list[Cell] = []
    delimiter = ""
    flaw: CellError | None = None
    for candidate in delimiters:
        if line.count(candidate) >= MAX_COLUMNS:
            raise InvalidParams(f"the header line has more than {MAX_COLUMNS} columns", line=number, hint=HEADER_HINT)
        cells = split_cells(line, candidate)
        if isinstance(cells, CellError):
            flaw = flaw or cells
        elif not best or _rate_cells(cells) > _rate_cells(best):
            best, delimiter = cells, candidate
    if not best:
        assert flaw is not None
        raise header_error(flaw, number)
    places = _find_columns(best, number)
    missing = [field for field in FIELDS if field not in places]
    if not missing:
        return CsvHeader(delimiter, len(best), **places)
    if not places and any(isinstance(read_count(cell), int) for cell in best):
        hint = f"add the header line above it: {delimiter.join(FIELDS)}"
        raise InvalidParams("the first line is data, and names no columns", line=number, hint=hint)
    names = [printable_text(cell.text) for cell in best[:_SHOWN_NAMES]] + ["…"] * (len(best) > _SHOWN_NAMES)
    raise InvalidParams(
        f"no column is called {' or '.join(missing)}", line=number, hint=f"{HEADER_HINT}; found: {', '.join(names)}"
    )


def _find_columns(cells: list[Cell], number: int) -> dict[str, int]:
    """Returns the column of each field that `cells` name. Raises InvalidParams if two columns name one field."""
    places: dict[str, int] = {}
    for words in _WORDS:
        new: dict[str, int] = {}
        for place, cell in enumerate(cells):
            field = words.get(_normalize_name(cell.text))
            if field is None or field in places:
                continue
            if field in new:
                names = f"{printable_text(cells[new[field]].text)} and {printable_text(cell.text)}"
                raise InvalidParams(
                    f"two columns are for {field}: {names}",
                    field=field,
                    line=number,
                    column=cell.column,
                    hint="keep one of them",
                )
            new[field] = place
        places |= new
    return places


def _rate_cells(cells: list[Cell]) -> tuple[int, int]:
    """Rates how plausible a split into cells is: the number of known fields, then the number of cells."""
    words = {_normalize_name(cell.text) for cell in cells}
    return len({field for known in _WORDS for word, field in known.items() if word in words}), len(cells)


def _normalize_name(name: str) -> str:
    """Returns a column name in the form of the keys of `_WORDS`; empty if it is too long."""
    if len(name) > _WORD_CHARACTERS:
        return ""
    letters = unicodedata.normalize("NFD", name.casefold())
    return "".join(one for one in letters if not unicodedata.combining(one))
