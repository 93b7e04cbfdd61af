"""Files that commands read, and the progress of reading them."""

import sys
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.errors import ClientError

CHUNK_BYTES = 256 * 1024
DEFAULT_UPLOAD_BYTES = "33554432"


def open_source(file: str) -> BinaryIO:
    """Returns an opened file, or standard input for -. Raises ClientError."""
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None


def name_source(file: str) -> str:
    """Returns the name under which a file is recorded."""
    return "standard input" if file == "-" else Path(file).name


def create_progress() -> Progress:
    """Returns progress bars for standard error, disabled if that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
