"""The commands `backup`, `verify` and `restore`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from clients.cli.output import Output
from clients.errors import ClientError
from clients.tools.backup.check import check_backup
from clients.tools.backup.copying import Step, Throttle, yield_to_servers
from clients.tools.backup.manifest import Manifest, read_manifest
from clients.tools.backup.places import load_places
from clients.tools.backup.record import LastBackup, note_backup
from clients.tools.backup.restore import restore_backup
from clients.tools.backup.take import source_bytes, take_backup

_MIB = 2**20

Folder = Annotated[Path, Parameter(help="The folder of the backup.")]
Rate = Annotated[float, Parameter(validator=Number(gt=0), help="MiB a second at the most.")]
Json = Annotated[bool, Parameter(negative="", show_default=False, help="One JSON line, also on a terminal.")]


def backup(folder: Folder, /, *, rate: Rate = 32.0, json: Json = False) -> int:
    """Copy everything that the suite stores on this machine, as it is at one instant; the suite goes on meanwhile.

    DATA_DIR and DB_PATH say where the files are. The folder has to be empty or not there; a backup that was
    interrupted is begun again.
    """
    places = load_places()
    yield_to_servers()
    with _progress("copying and reading back", source_bytes(places)) as step, _translated(folder):
        manifest = take_backup(places, folder, Throttle(rate * _MIB), step)
        note_backup(places.data, LastBackup(manifest.taken, str(folder.absolute())))
    _show(folder, manifest, json=json)
    return 0


def verify(folder: Folder, /, *, rate: Rate = 1000.0, json: Json = False) -> int:
    """Read every byte of a backup: checksums, the database's own check, and whether its files belong together.

    Exit status 1 when something is wrong.
    """
    manifest = read_manifest(folder)
    with _progress("reading", _bytes(manifest)) as step, _translated(folder):
        check_backup(folder, load_places(), Throttle(rate * _MIB), step)
    _show(folder, manifest, json=json)
    return 0


def restore(
    folder: Folder,
    /,
    *,
    replace: Annotated[
        bool, Parameter(negative="", show_default=False, help="Move the files that are there to a folder beside them.")
    ] = False,
    rate: Rate = 1000.0,
    json: Json = False,
) -> int:
    """Verify a backup, and put it where DATA_DIR and DB_PATH say; stop every server before.

    A restore that was interrupted is completed by running it again; no server starts before that.
    """
    places = load_places()
    manifest = read_manifest(folder)
    with _progress("verifying and copying", 2 * _bytes(manifest)) as step, _translated(folder):
        throttle = Throttle(rate * _MIB)
        check_backup(folder, places, throttle, step)
        former = restore_backup(folder, manifest, places, throttle, step, replace=replace)
    _show(folder, manifest, json=json)
    for path in former:
        sys.stderr.write(f"the files that were there before are in {path}\n")
    return 0


def _bytes(manifest: Manifest) -> int:
    return sum(file.bytes for file in manifest.files)


@contextlib.contextmanager
def _progress(text: str, total: int) -> Iterator[Step]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(
        *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(file=sys.stderr), transient=True
    ) as progress:
        task = progress.add_task(text, total=total)
        yield lambda size: progress.advance(task, size)


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Turns errors of the file system into ClientError."""
    try:
        yield
    except OSError as error:
        raise ClientError(
            f"{error.filename or folder}: {error.strerror or error}", hint="see to the disk, then run it again"
        ) from None


def _show(folder: Path, manifest: Manifest, *, json: bool) -> None:
    Output(json=json).print_members(
        {
            "backup": str(folder),
            "taken": manifest.taken,
            "version": manifest.version,
            "bytes": _bytes(manifest),
            "counts": manifest.facts.counts,
            "positions": manifest.facts.positions,
        }
    )
