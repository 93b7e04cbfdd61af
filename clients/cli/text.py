"""Text from and for terminals of any encoding."""

import codecs
import os
import sys
from typing import Literal, TextIO

from clients.errors import WrongUsage

_ESCAPES = "comanda.escapes"


def make_printable(text: str) -> str:
    """Returns the text with control characters and other unprintable ones escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def prepare_streams() -> None:
    """Lets the standard streams write any text: characters that their encoding lacks become JSON escapes.

    So a line of JSON stays valid JSON on every terminal.
    """
    codecs.register_error(_ESCAPES, _escape_unencodable)
    # A stream that is closed at the start (`>&-`) is None.
    sys.stdin = sys.stdin or _open_nowhere("r")
    sys.stdout = sys.stdout or _open_nowhere("w")
    sys.stderr = sys.stderr or _open_nowhere("w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ESCAPES)
    if hasattr(sys.stdin, "reconfigure"):
        # `decode_typed_text` decodes the escaped bytes, or refuses them.
        sys.stdin.reconfigure(errors="surrogateescape")


def _open_nowhere(mode: Literal["r", "w"]) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")


def decode_typed_text(text: str) -> str:
    """Decodes a word of the command line or of a prompt as UTF-8. Raises WrongUsage for other encodings."""
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
