"""Lines of a text file of unknown encoding: takes chunks of bytes of any size and returns lines of text.

A byte-order mark decides the encoding. Without one the file is read as UTF-8, and from the first line that is
not UTF-8 as windows-1252, which older spreadsheets write. A line that contradicts the encoding of earlier
lines is an error of that line; the lines around it are still read.
"""

import codecs
from typing import NamedTuple

from shared.domain.errors import InvalidParams

MAX_LINE_BYTES = 65_536
SAVE_AS_CSV = "save it as CSV (UTF-8), and send that"

UTF_8 = "utf-8"
UTF_16 = "utf-16"
WINDOWS_1252 = "windows-1252"

_START_BYTES = 4
_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another zip file",
    b"PK\x05\x06": "an empty zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a file packed with gzip",
    b"<": "HTML or XML",
    b"{": "JSON",
    b"[": "JSON",
}
"""Kinds of files that are often uploaded instead of CSV, by their first bytes."""


class CellError(NamedTuple):
    """An error in a line or one of its cells; `column` counts characters from 1."""

    column: int
    expected: str
    found: str


_TOO_LONG = CellError(1, f"a line of at most {MAX_LINE_BYTES} bytes", "a longer one")


class LineReader:
    """Splits one file into lines. A line ends with LF, CRLF, CR or the end of the file.

    `encoding` is the encoding detected so far. The reader buffers at most one unfinished line.
    """

    def __init__(self) -> None:
        self.encoding = UTF_8
        self._certain = False
        """True once the encoding is proven: by a byte-order mark or by a character that is not ASCII."""
        self._start: bytes | None = b""
        """The first bytes of the file, until there are enough to detect its kind."""
        self._utf_16: codecs.IncrementalDecoder | None = None
        self._held = bytearray()
        self._too_long = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[list[str] | CellError]:
        """Returns the lines that `data` completes, without line ends: lists of lines, and errors of unreadable lines.

        Raises InvalidParams if the file is not a text file.
        """
        if self._start is not None:
            self._start += data
            if len(self._start) < _START_BYTES:
                return []
            data = self._detect_encoding(self._start)
        return self._split_lines(data if self._utf_16 is None else self._utf_16.decode(data).encode())

    def finish(self) -> list[list[str] | CellError]:
        """Returns the last line if it has no line end. Raises InvalidParams like `feed`."""
        rest = b"" if self._start is None else self._detect_encoding(self._start)
        if self._utf_16 is not None:
            rest = self._utf_16.decode(rest, final=True).encode()
        found = self._split_lines(rest)
        if self._held or self._too_long:
            found += self._split_lines(b"\n")
        return found

    def _detect_encoding(self, start: bytes) -> bytes:
        """Detects the encoding by the first bytes of the file; returns them without a byte-order mark."""
        self._start = None
        for magic, kind in _KINDS.items():
            if start.startswith(magic):
                raise InvalidParams(f"the file is not CSV: it looks like {kind}", hint=SAVE_AS_CSV)
        if start.startswith(codecs.BOM_UTF8):
            self._certain = True
            return start.removeprefix(codecs.BOM_UTF8)
        for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
            if start.startswith(mark):
                self.encoding = UTF_16
                self._certain = True
                self._utf_16 = codecs.getincrementaldecoder(name)("replace")
                return start.removeprefix(mark)
        return start

    def _split_lines(self, data: bytes) -> list[list[str] | CellError]:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = data.rfind(b"\n")
        if end < 0:
            self._keep_partial_line(data)
            return []
        block = bytes(self._held) + data[:end]
        self._held.clear()
        if not self._too_long:
            found = self._decode_block(block)
        else:
            self._too_long = False
            _, more, block = block.partition(b"\n")
            found = [_TOO_LONG, *(self._decode_block(block) if more else [])]
        self._keep_partial_line(data[end + 1 :])
        return found

    def _keep_partial_line(self, piece: bytes) -> None:
        if self._too_long or len(self._held) + len(piece) > MAX_LINE_BYTES:
            self._too_long = True
            self._held.clear()
        else:
            self._held += piece

    def _decode_block(self, block: bytes) -> list[list[str] | CellError]:
        """Decodes a block of complete lines: in one step if possible, otherwise line by line."""
        plain = block.isascii()
        if plain or self.encoding != WINDOWS_1252:
            try:
                lines = block.decode().split("\n")
            except UnicodeDecodeError:
                lines = []
            # No character of UTF-8 has more than four bytes.
            if lines and max(map(len, lines)) <= MAX_LINE_BYTES // 4:
                self._certain |= not plain
                return [lines]
        found: list[list[str] | CellError] = []
        for line in block.split(b"\n"):
            text = _TOO_LONG if len(line) > MAX_LINE_BYTES else self._decode_line(line)
            if isinstance(text, CellError):
                found.append(text)
            elif found and isinstance(found[-1], list):
                found[-1].append(text)
            else:
                found.append([text])
        return found

    def _decode_line(self, line: bytes) -> str | CellError:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            if self._certain:
                column = len(line[: error.start].decode()) + 1
                return CellError(column, "text in UTF-8, as before", f"the byte 0x{line[error.start]:02X}")
            self.encoding = WINDOWS_1252
        else:
            if text.isascii():
                return text
            if self.encoding != WINDOWS_1252:
                self._certain = True
                return text
            at, character = next((at, one) for at, one in enumerate(text) if not one.isascii())
            return CellError(
                at + 1, "text in windows-1252, as before", f"the character U+{ord(character):04X} in UTF-8"
            )
        try:
            return line.decode(WINDOWS_1252)
        except UnicodeDecodeError as error:
            return CellError(error.start + 1, "text in windows-1252", f"the byte 0x{line[error.start]:02X}")
