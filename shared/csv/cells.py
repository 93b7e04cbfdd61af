"""Cells of one line of a CSV file and their values.

Each number is parsed on its own and refused if it is ambiguous, whatever the format of the other numbers
in the file. So 1.234 and 1,234 are refused (1234, or 1 and a fraction), while 1.234.567, 1.234,00, 1 234
and 1'234 are unambiguous.
"""

import functools
import re
import unicodedata
from typing import NamedTuple

from shared.csv.lines import CellError
from shared.domain.names import fold_names
from shared.domain.stock import MAX_COUNT, UNFIT
from shared.wire.strict_json import shorten_text

_GUARDED = re.compile(r"'+[=+\-@＝＋－＠]")  # noqa: RUF001 - some spreadsheets take the wide ones for formulas, too
_WHOLE_NUMBER = re.compile(
    r"""
    (?P<digits>
        [0-9]+
        | [1-9][0-9]{0,2} (?P<blank>[\x20\xa0\u2009\u202f'’]) [0-9]{3} (?: (?P=blank) [0-9]{3} )*
        | [1-9][0-9]{0,2} (?: \.[0-9]{3} )+ (?= , | $ )
        | [1-9][0-9]{0,2} (?: ,[0-9]{3} )+ (?= \. | $ )
    )
    (?: [.,]0+ )?
    """,  # noqa: RUF001 - Swiss spreadsheets write this apostrophe
    re.VERBOSE,
)
_AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_NOT_DIGIT = re.compile(r"[^0-9]")
_NUMBER_CHARACTERS = 40
_COMPOSED_OF = 4
"""The largest number of characters that NFC composes into one."""


class Cell(NamedTuple):
    """One cell: its text without quotes and surrounding blanks, and its first column, counted from 1."""

    column: int
    text: str


@functools.cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    blank = "[ \xa0]" if delimiter == "\t" else "[ \t\xa0]"
    quoted = rf'"(?P<quoted>(?:[^"]++|"")*+)(?P<end>"?){blank}*+'
    return re.compile(rf"(?P<blank>{blank}*+)(?:{quoted}|(?P<bare>[^{re.escape(delimiter)}]*+))")


def split_cells(line: str, delimiter: str) -> list[Cell] | CellError:
    """Returns the cells of a line (at least one), or a CellError for invalid quotes."""
    pattern = _cell_pattern(delimiter)
    cells: list[Cell] = []
    position = 0
    while True:
        found = pattern.match(line, position)
        assert found is not None
        column = found.end("blank") + 1
        position = found.end()
        text = found["bare"]
        if text is None:
            if not found["end"]:
                return CellError(column, "a closing quote on the same line", printable_text(line[column - 1 :]))
            if position < len(line) and line[position] != delimiter:
                return CellError(
                    position + 1, "the end of the cell after its closing quote", printable_text(line[position:])
                )
            text = found["quoted"].replace('""', '"')
        cells.append(Cell(column, text.strip()))
        if position == len(line):
            return cells
        position += 1


def read_name(cell: Cell, *, characters: int, size: int) -> str | CellError:
    """Returns the name in a cell, in NFC and without the apostrophe that an export puts before formulas.

    It has at most `characters` characters and `size` bytes in UTF-8.
    """
    text = cell.text
    if not text:
        return CellError(cell.column, "a name", _EMPTY)
    if unfit := UNFIT.search(text):
        return CellError(cell.column, "a name without control characters", f"the character U+{ord(unfit[0]):04X}")
    # Composing a very long text can take seconds.
    if len(text) <= characters * _COMPOSED_OF:
        text = unicodedata.normalize("NFC", text)
        if _GUARDED.match(text):
            text = text[1:]
    if len(text) > characters:
        return CellError(cell.column, f"a name of at most {characters} characters", f"{len(text)} characters")
    folded = fold_names(text)
    if not folded:
        return CellError(cell.column, "a name with a visible character", printable_text(text))
    if max(len(text.encode()), len(folded.encode())) > size:
        return CellError(cell.column, f"a name of at most {size} bytes in UTF-8", f"{len(text.encode())} bytes")
    return text


def read_count(cell: Cell) -> int | CellError:
    """Returns the count in a cell, from 0 to MAX_COUNT."""
    text = cell.text
    if _AMBIGUOUS.fullmatch(text):
        whole, fraction = text[:-4] + text[-3:], f"{text[:-4]} and a fraction"
        return CellError(
            cell.column, f"a whole number without a separator: this may be {whole}, or {fraction}", printable_text(text)
        )
    found = _WHOLE_NUMBER.fullmatch(text) if len(text) <= _NUMBER_CHARACTERS else None
    count = int(_NOT_DIGIT.sub("", found["digits"])) if found is not None else -1
    if 0 <= count <= MAX_COUNT:
        return count
    return CellError(cell.column, f"a whole number from 0 to {MAX_COUNT}", printable_text(text))


def printable_text(text: str) -> str:
    """Returns a text for an error message: shortened, with unprintable characters replaced."""
    if not text:
        return _EMPTY
    return "".join(one if one.isprintable() else "\ufffd" for one in shorten_text(text))


_EMPTY = "an empty cell"
