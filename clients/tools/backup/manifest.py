"""The manifest of a backup: its files, and the counts and positions in them."""

from pathlib import Path

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.backup.locations import MANIFEST
from shared.runtime.durable_files import write_file
from shared.runtime.programs import client_command

FORMAT = 1
PRODUCT = "comanda"


class CopiedFile(Struct):
    """A file of a backup."""

    name: str
    schema: int
    """The version of its schema; 0 for a file other than a database."""
    bytes: int
    sha256: str


class Facts(Struct):
    """Counts and positions in the files of a backup."""

    counts: dict[str, int] = {}
    positions: dict[str, str] = {}
    """The last position of each file, and the positions up to which the distributed service has read the others."""


class Manifest(Struct):
    """The files that belong together, and their instant."""

    version: str
    """The version of the product."""
    taken: str
    """The instant of all files, in UTC."""
    files: list[CopiedFile]
    facts: Facts
    format: int = FORMAT
    product: str = PRODUCT


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, which completes a backup. Raises OSError."""
    write_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a backup. Raises ClientError if the folder is not a backup."""
    path = folder / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ClientError(
            f"{folder} is not a complete backup: {MANIFEST} is missing",
            hint=f"run the backup again: {client_command()} backup DIR",
        ) from None
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ClientError(f"{path} is damaged: {error}", hint="take another backup") from None
    if found.product != PRODUCT or found.format > FORMAT:
        raise ClientError(
            f"{path} is of {found.product!r}, format {found.format}; this program reads {PRODUCT}, format {FORMAT}",
            hint="use the program that made the backup, or a newer one",
        )
    return found
