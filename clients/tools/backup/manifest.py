"""The manifest of a backup: what it consists of, and what it held when it was taken."""

from pathlib import Path

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.backup.places import MANIFEST
from shared.runtime.programs import client_command
from shared.stores.durable_files import write_file

FORMAT = 1
PRODUCT = "comanda"


class CopiedFile(Struct):
    """One file of a backup."""

    name: str
    schema: int
    """The version of its schema; 0 for a file that is no database."""
    bytes: int
    sha256: str


class Facts(Struct):
    """What the files of a backup hold, as far as it can be counted."""

    counts: dict[str, int] = {}
    positions: dict[str, str] = {}
    """How far each file has come, and how far the distributed service has read the others."""


class Manifest(Struct):
    """Says which files belong together, and of when they are."""

    version: str
    """Of the product."""
    taken: str
    """The instant that all files are of, in UTC."""
    files: list[CopiedFile]
    facts: Facts
    format: int = FORMAT
    product: str = PRODUCT


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Makes a folder a backup. Raises OSError."""
    write_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a backup. Raises ClientError where the folder is none."""
    path = folder / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ClientError(
            f"{folder} is no backup, or one that was not finished: {MANIFEST} is missing",
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
