"""The files of the store of one intake, and their folder."""

import contextlib
import os
import pwd
from pathlib import Path

from msgspec import Struct

from shared.domain.errors import StartupError
from shared.runtime.durable_files import make_private_folder


class StoreFiles(Struct, frozen=True):
    """The files around `orders`, the path that DB_PATH names."""

    orders: Path

    @property
    def progress(self) -> Path:
        """The progress of orders."""
        return self.orders.with_name(f"{self.orders.stem}-progress{self.orders.suffix}")

    @property
    def index(self) -> Path:
        """The index of orders by customer and time; derived from `orders`, so it may be deleted."""
        return self.orders.with_name(f"{self.orders.stem}-index{self.orders.suffix}")

    @property
    def owner_lock(self) -> Path:
        """Held by the intake that owns the files while it runs."""
        return self.orders.with_name(f"{self.orders.name}.lock")

    @property
    def progress_lock(self) -> Path:
        """Held for each transaction on `progress`."""
        return self.progress.with_name(f"{self.progress.name}.lock")

    @property
    def workers_lock(self) -> Path:
        """Shared by all workers while they run."""
        return self.orders.with_name(f"{self.orders.name}.workers.lock")

    @property
    def archive(self) -> Path:
        """The folder of archived orders."""
        return self.orders.with_name("archive")

    @property
    def archive_lock(self) -> Path:
        """Held while orders are archived."""
        return self.orders.with_name(f"{self.orders.name}.archive.lock")


RESTORE_MARK = "restore-unfinished.json"
"""A file in the folder of a store while a restore is in progress."""


_FOLDERS = {"archive", "audit", "uploads"}
_HOW_MISSING = "what is missing is made again, or has to come from a backup"
_DATABASE_ENDINGS = (".db", ".db-wal", ".db-shm", ".lock")


def make_folder(folder: Path) -> None:
    """Creates the folder of a store's files, private to its owner; an existing folder keeps its mode.

    Raises StartupError if the folder or one of its files is not writable, or if a restore into it was interrupted.
    """
    try:
        make_private_folder(folder)
    except OSError as error:
        raise StartupError(
            f"the folder {folder} cannot be made: {error.strerror}", hint="point DATA_DIR at a folder you may write to"
        ) from error
    _check_writable(folder)
    for entry in sorted(folder.iterdir()):
        # Files that do not belong to the suite are ignored.
        if entry.name in _FOLDERS or ".db" in entry.name:
            _check_writable(entry)
            _check_kind(entry)
    if (folder / RESTORE_MARK).exists():
        raise StartupError(
            f"a restore into {folder} was interrupted: its files do not belong together",
            hint="give the command restore the same backup again, which completes it",
        )


def _check_kind(path: Path) -> None:
    """Raises StartupError for a folder that should be a file, and vice versa."""
    if path.name.endswith(_DATABASE_ENDINGS) and path.is_dir():
        raise StartupError(f"{path} is a folder, and has to be a file", hint=f"move it away; {_HOW_MISSING}")
    if path.name in _FOLDERS and path.is_file():
        raise StartupError(f"{path} is a file, and has to be a folder", hint=f"move it away; {_HOW_MISSING}")


def _check_writable(path: Path) -> None:
    """Raises StartupError for a file or folder that this user may not use; ignores one that was just removed."""
    with contextlib.suppress(FileNotFoundError):
        owner = path.stat().st_uid
        if os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
            return
        user, folder = os.geteuid(), path if path.is_dir() else path.parent
        if owner == user:
            raise StartupError(f"{path} cannot be written to", hint="change its mode, or point DATA_DIR elsewhere")
        raise StartupError(
            f"{path} belongs to {_user_name(owner)} and cannot be written to by {_user_name(user)}",
            hint=f"chown it (sudo chown -R {user} {folder}), or point DATA_DIR elsewhere",
        )


def _user_name(user: int) -> str:
    """Returns the name of a user; containers run as users that have none."""
    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user {user}"
