"""Which files the store of one intake consists of."""

import os
from pathlib import Path

from msgspec import Struct

from shared.domain.errors import StartupError


class Files(Struct, frozen=True):
    """The files around `orders`, the path that DB_PATH names."""

    orders: Path

    @property
    def progress(self) -> Path:
        """What has happened to orders."""
        return self.orders.with_name(f"{self.orders.stem}-progress{self.orders.suffix}")

    @property
    def index(self) -> Path:
        """Where orders are to be found by customer and time; made from `orders`, and may be deleted."""
        return self.orders.with_name(f"{self.orders.stem}-index{self.orders.suffix}")

    @property
    def owner_lock(self) -> Path:
        """Held by the one intake that owns the files, for as long as it lives."""
        return self.orders.with_name(f"{self.orders.name}.lock")

    @property
    def progress_lock(self) -> Path:
        """Held for each transaction on `progress`."""
        return self.progress.with_name(f"{self.progress.name}.lock")

    @property
    def workers_lock(self) -> Path:
        """Shared by every worker for as long as it lives."""
        return self.orders.with_name(f"{self.orders.name}.workers.lock")

    @property
    def archive(self) -> Path:
        """The folder of orders that were moved out of the files."""
        return self.orders.with_name("archive")

    @property
    def archive_lock(self) -> Path:
        """Held while orders are archived."""
        return self.orders.with_name(f"{self.orders.name}.archive.lock")


RESTORE_MARK = "restore-unfinished.json"
"""In the folder of a store's files from the beginning of a restore to its end."""


def make_folder(folder: Path) -> None:
    """Makes the folder of a store's files.

    Raises StartupError when it cannot be written to, or when a restore into it was interrupted.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"the folder {folder} cannot be made: {error.strerror}", hint="point DATA_DIR at a folder you may write to"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartupError(
            f"the folder {folder} cannot be written to", hint="change its owner, or point DATA_DIR elsewhere"
        )
    if (folder / RESTORE_MARK).exists():
        raise StartupError(
            f"a restore into {folder} was interrupted: its files do not belong together",
            hint="run the restore again, which completes it: python -m clients restore DIR",
        )
