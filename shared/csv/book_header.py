"""The header line of a CSV file of books. It determines the delimiter and the column of each field."""

from typing import Final

from msgspec import Struct

from shared.csv.cells import split_cells
from shared.csv.header import DELIMITERS, MAX_COLUMNS
from shared.csv.lines import SAVE_AS_CSV, CellError
from shared.domain.errors import InvalidParams
from shared.domain.names import name_key

_COLUMNS: Final = {
    "isbn13": "isbn13",
    "isbn": "isbn",
    "isbn10": "isbn",
    "title": "title",
    "titulo": "title",
    "author": "author",
    "authors": "author",
    "autor": "author",
    "autores": "author",
    "publication_year": "publication_year",
    "original_publication_year": "publication_year",
    "year": "publication_year",
    "language": "language",
    "language_code": "language",
    "idioma": "language",
    "rating": "rating",
    "average_rating": "rating",
    "ratings": "ratings",
    "ratings_count": "ratings",
    "category": "category",
    "categoria": "category",
    "subcategory": "subcategory",
    "editorial": "editorial",
    "publisher": "editorial",
    "description": "description",
    "pages": "pages",
    "price": "price",
    "precio": "price",
    "stock": "stock",
    "stock_quantity": "stock",
}
"""Fields by the names of their columns; other columns are ignored."""
HEADER_HINT: Final = "the first line must name the columns, at least title"
_NAME_CHARACTERS: Final = 40
_PLAIN_LETTERS: Final = str.maketrans("áéíóú", "aeiou")


class BookHeader(Struct, frozen=True):
    """A parsed header line: the delimiter, the number of columns, and the columns of the fields, from 0."""

    delimiter: str
    width: int
    places: dict[str, int]


def read_book_header(line: str, number: int) -> BookHeader:
    """Reads the header line of a file (line `number`). Raises InvalidParams when it names no title."""
    if "\0" in line:
        raise InvalidParams("the file is not CSV: it looks like a binary file", line=number, hint=SAVE_AS_CSV)
    found = BookHeader("", 0, {})
    for delimiter in DELIMITERS:
        if line.count(delimiter) >= MAX_COLUMNS:
            raise InvalidParams(f"the header line has more than {MAX_COLUMNS} columns", line=number, hint=HEADER_HINT)
        cells = split_cells(line, delimiter)
        if isinstance(cells, CellError):
            continue
        places: dict[str, int] = {}
        for place, cell in enumerate(cells):
            if (field := _COLUMNS.get(_column_name(cell.text))) is not None:
                # Of two columns for one field the first counts.
                places.setdefault(field, place)
        if len(places) > len(found.places):
            found = BookHeader(delimiter, len(cells), places)
    if "title" not in found.places:
        raise InvalidParams("no column is called title", line=number, hint=HEADER_HINT)
    return found


def _column_name(text: str) -> str:
    """Returns the name of a column in the form of the keys of `_COLUMNS`."""
    return name_key(text[:_NAME_CHARACTERS]).replace(" ", "_").replace("-", "_").translate(_PLAIN_LETTERS)
