"""Writes CSV files of stock that spreadsheets open correctly and that `shared.csv.reader` reads back.

A name that a spreadsheet would take for a formula gets an apostrophe before it; the reader removes it.
"""

import codecs
import re
from collections.abc import Iterable

HEAD = codecs.BOM_UTF8 + b"store,item,count\r\n"
"""The beginning of a file; Excel needs the byte-order mark to recognize UTF-8."""

# The reader removes one apostrophe before such a name, so one that is part of the name is doubled.
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")  # noqa: RUF001 - some spreadsheets take the wide ones, too
_QUOTED = re.compile(r'[",\r\n]')


def export_lines(rows: Iterable[tuple[str, str, int]]) -> bytes:
    """Returns the lines of a file for rows of store, item and count; they follow HEAD."""
    return "".join([f"{encode_cell(store)},{encode_cell(item)},{count}\r\n" for store, item, count in rows]).encode()


def encode_cell(name: str) -> str:
    """Returns a text as a cell that no spreadsheet takes for a formula."""
    if _FORMULA.match(name):
        name = f"'{name}"
    if _QUOTED.search(name):
        name = '"' + name.replace('"', '""') + '"'
    return name
