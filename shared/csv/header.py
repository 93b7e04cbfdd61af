"""The header line of a CSV file of stock: it shows the delimiter, and says what stands in which column."""

import unicodedata

from msgspec import Struct

from shared.csv.cells import Cell, read_count, shown, split_cells
from shared.csv.lines import SAVE_AS_CSV, Flaw
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
"""What the columns are called, without accents. Words of the second kind count where none of the first stands."""
_WORD_CHARACTERS = 40
_SHOWN_NAMES = 10
HEADER_HINT = "the first line must name the columns store, item and count"


class Header(Struct, frozen=True):
    """What a header line says: the delimiter, how many columns there are, and where each field stands, from 0."""

    delimiter: str
    width: int
    store: int
    item: int
    count: int


def no_header() -> InvalidParams:
    """The error of a file without any line."""
    return InvalidParams("the file is empty", hint=HEADER_HINT)


def unreadable_header(flaw: Flaw, number: int) -> InvalidParams:
    """The error of a file whose header line, its line `number`, has a flaw."""
    return InvalidParams(
        f"the header line cannot be read: expected {flaw.expected}, found {flaw.found}",
        line=number,
        column=flaw.column,
        hint=SAVE_AS_CSV,
    )


def read_header(line: str, number: int, delimiters: str = DELIMITERS) -> Header:
    """Reads the header line of a file, its line `number`; other columns than the three are nobody's business.

    Raises InvalidParams when it does not name each field once.
    """
    if "\0" in line:
        utf_16 = not line[::2].strip("\0") or not line[1::2].strip("\0")
        kind = "UTF-16 without a byte-order mark" if utf_16 else "a binary file"
        raise InvalidParams(f"the file is not CSV: it looks like {kind}", line=number, hint=SAVE_AS_CSV)
    best: list[Cell] = []
    delimiter = ""
    flaw: Flaw | None = None
    for candidate in delimiters:
        if line.count(candidate) >= MAX_COLUMNS:
            raise InvalidParams(f"the header line has more than {MAX_COLUMNS} columns", line=number, hint=HEADER_HINT)
        cells = split_cells(line, candidate)
        if isinstance(cells, Flaw):
            flaw = flaw or cells
        elif not best or _promise(cells) > _promise(best):
            best, delimiter = cells, candidate
    if not best:
        assert flaw is not None
        raise unreadable_header(flaw, number)
    places = _places(best, number)
    missing = [field for field in FIELDS if field not in places]
    if not missing:
        return Header(delimiter, len(best), **places)
    if not places and any(isinstance(read_count(cell), int) for cell in best):
        hint = f"add the header line above it: {delimiter.join(FIELDS)}"
        raise InvalidParams("the first line is data, and names no columns", line=number, hint=hint)
    names = [shown(cell.text) for cell in best[:_SHOWN_NAMES]] + ["…"] * (len(best) > _SHOWN_NAMES)
    raise InvalidParams(
        f"no column is called {' or '.join(missing)}", line=number, hint=f"{HEADER_HINT}; found: {', '.join(names)}"
    )


def _places(cells: list[Cell], number: int) -> dict[str, int]:
    """Where each field stands, as far as the names in `cells` are known. Raises InvalidParams for a doubled one."""
    places: dict[str, int] = {}
    for words in _WORDS:
        new: dict[str, int] = {}
        for place, cell in enumerate(cells):
            field = words.get(_word(cell.text))
            if field is None or field in places:
                continue
            if field in new:
                names = f"{shown(cells[new[field]].text)} and {shown(cell.text)}"
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


def _promise(cells: list[Cell]) -> tuple[int, int]:
    """How likely a line has been cut into cells in the right way: the known fields, then the cells."""
    words = {_word(cell.text) for cell in cells}
    return len({field for known in _WORDS for word, field in known.items() if word in words}), len(cells)


def _word(name: str) -> str:
    """A name as it stands in the table of words."""
    if len(name) > _WORD_CHARACTERS:
        return ""
    letters = unicodedata.normalize("NFD", name.casefold())
    return "".join(one for one in letters if not unicodedata.combining(one))
