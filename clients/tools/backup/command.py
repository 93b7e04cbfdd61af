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
from clients.tools.backup.creation import source_bytes, take_backup
from clients.tools.backup.file_copies import ProgressCallback, Throttle, lower_priority
from clients.tools.backup.last_backup import LastBackup, write_last_backup
from clients.tools.backup.locations import load_locations
from clients.tools.backup.manifest import Manifest, read_manifest
from clients.tools.backup.restoration import restore_backup
from clients.tools.backup.verification import check_backup

_MIB = 2**20

Folder = Annotated[Path, Parameter(help="The folder of the backup.")]
Rate = Annotated[float, Parameter(validator=Number(gt=0), help="MiB a second at the most.")]
Json = Annotated[bool, Parameter(negative="", show_default=False, help="One JSON line, also on a terminal.")]


def create_backup(folder: Folder, /, *, rate: Rate = 32.0, json: Json = False) -> int:
    """Copy all stored data of this machine as of one instant, while the suite runs.

    DATA_DIR and DB_PATH name the files. The folder must be empty or missing; an interrupted backup starts from the
    beginning.
    """
    locations = load_locations()
    lower_priority()
    with _show_progress("copying and reading back", source_bytes(locations)) as step, _translate_os_errors(folder):
        manifest = take_backup(locations, folder, Throttle(rate * _MIB), step)
        write_last_backup(locations.data, LastBackup(manifest.taken, str(folder.absolute())))
    _print_manifest(folder, manifest, json=json)
    return 0


def run_verification(folder: Folder, /, *, rate: Rate = 1000.0, json: Json = False) -> int:
    """Read every byte of a backup: checksums, database checks, and the consistency of its files.

    Exit status 1 if something is wrong.
    """
    manifest = read_manifest(folder)
    with _show_progress("reading", _total_bytes(manifest)) as step, _translate_os_errors(folder):
        check_backup(folder, load_locations(), Throttle(rate * _MIB), step)
    _print_manifest(folder, manifest, json=json)
    return 0


def run_restore(
    folder: Folder,
    /,
    *,
    replace: Annotated[
        bool, Parameter(negative="", show_default=False, help="Move the files that are there to a folder beside them.")
    ] = False,
    rate: Rate = 1000.0,
    json: Json = False,
) -> int:
    """Verify a backup and copy it to DATA_DIR and DB_PATH; stop all servers before.

    Run an interrupted restore again to complete it; no server starts before that.
    """
    locations = load_locations()
    manifest = read_manifest(folder)
    with _show_progress("verifying and copying", 2 * _total_bytes(manifest)) as step, _translate_os_errors(folder):
        throttle = Throttle(rate * _MIB)
        check_backup(folder, locations, throttle, step)
        former = restore_backup(folder, manifest, locations, throttle, step, replace=replace)
    _print_manifest(folder, manifest, json=json)
    for path in former:
        sys.stderr.write(f"the files that were there before are in {path}\n")
    return 0


def _total_bytes(manifest: Manifest) -> int:
    return sum(file.bytes for file in manifest.files)


@contextlib.contextmanager
def _show_progress(text: str, total: int) -> Iterator[ProgressCallback]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(
        *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(file=sys.stderr), transient=True
    ) as progress:
        task = progress.add_task(text, total=total)
        yield lambda size: progress.advance(task, size)


@contextlib.contextmanager
def _translate_os_errors(folder: Path) -> Iterator[None]:
    """Translates errors of the file system to ClientError."""
    try:
        yield
    except OSError as error:
        raise ClientError(
            f"{error.filename or folder}: {error.strerror or error}", hint="check the disk, then run it again"
        ) from None


def _print_manifest(folder: Path, manifest: Manifest, *, json: bool) -> None:
    Output(json=json).print_members(
        {
            "backup": str(folder),
            "taken": manifest.taken,
            "version": manifest.version,
            "bytes": _total_bytes(manifest),
            "counts": manifest.facts.counts,
            "positions": manifest.facts.positions,
        }
    )
