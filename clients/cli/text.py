"""Text that comes from people and goes to terminals, whatever encoding these have."""

import codecs
import os
import sys
from typing import Literal, TextIO

from clients.errors import WrongUsage

_ESCAPES = "comanda.escapes"


def make_printable(text: str) -> str:
    """The text with everything that steers a terminal written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def prepare_streams() -> None:
    """Has the standard streams take any text: what their encoding lacks is written as JSON escapes it.

    So a line of JSON is JSON on every terminal, and no name is too foreign to be shown.
    """
    codecs.register_error(_ESCAPES, _escape_unencodable)
    # A stream that is closed from the start (`>&-`) is None.
    sys.stdin = sys.stdin or _open_nowhere("r")
    sys.stdout = sys.stdout or _open_nowhere("w")
    sys.stderr = sys.stderr or _open_nowhere("w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ESCAPES)
    if hasattr(sys.stdin, "reconfigure"):
        # What is typed is UTF-8 or it is not; `typed_text` sees to that.
        sys.stdin.reconfigure(errors="surrogateescape")


def _open_nowhere(mode: Literal["r", "w"]) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")


def decode_typed_text(text: str) -> str:
    """Returns a word of the command line or of a prompt as the UTF-8 that it is. Raises WrongUsage for any other."""
    if text.isascii():
        return text
    try:
        encoding = sys.getfilesystemencoding() if any("\udc80" <= char <= "\udcff" for char in text) else "utf-8"
        return text.encode(encoding, "surrogateescape").decode()
    except UnicodeError:
        shown = os.fsencode(text).decode("utf-8", "backslashreplace")
        raise WrongUsage(
            f"{make_printable(shown)!r} is not UTF-8", hint="write it in UTF-8, or give a file: --file"
        ) from None


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    return escaped, error.end
