"""Writes CSV files of stock that spreadsheets open as they are meant, and that `shared.csv.reader` reads back.

A name that a spreadsheet would take for a formula gets an apostrophe before it; the reader takes it off.
"""

import codecs
import re
from collections.abc import Iterable

HEAD = codecs.BOM_UTF8 + b"store,item,count\r\n"
"""What a file begins with; without the byte-order mark Excel does not take it for UTF-8."""

# An apostrophe that would be taken off again is doubled, so that it comes back.
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")  # noqa: RUF001 - some spreadsheets take the wide ones, too
_QUOTED = re.compile(r'[",\r\n]')


def export_lines(rows: Iterable[tuple[str, str, int]]) -> bytes:
    """The lines of a file for rows of store, item and count; they follow HEAD."""
    return "".join([f"{_cell(store)},{_cell(item)},{count}\r\n" for store, item, count in rows]).encode()


def _cell(name: str) -> str:
    if _FORMULA.match(name):
        name = f"'{name}"
    if _QUOTED.search(name):
        name = '"' + name.replace('"', '""') + '"'
    return name
