"""The files of a backup, and their locations in the suite."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from clients.errors import ClientError, WrongUsage
from shared.domain.covers import COVERS, is_cover_file
from shared.runtime.file_lock import FileLock
from shared.runtime.settings import load_settings
from shared.stores.sqlite.archives import is_archive_name
from shared.stores.sqlite.files import StoreFiles

ARCHIVE = "archive"
"""The folder of archived orders in a backup."""

PROGRESS = "orders-progress.db"
MANIFEST = "manifest.json"
"""The file that marks a folder as a complete backup; it is written last."""


class LocationSettings(Struct, frozen=True):
    """The servers' settings for the locations of their files."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None


class BackupFile(NamedTuple):
    """A file of the store that belongs to a backup."""

    name: str
    """The name in a backup, independent of `DB_PATH`."""
    schema: str
    path: Path
    """The location in the suite."""


class StoreLocations(NamedTuple):
    """The locations of all stored data of a suite."""

    orders: StoreFiles
    data: Path

    @property
    def store_files(self) -> tuple[BackupFile, ...]:
        """The files of a backup; a file that follows others precedes them."""
        return (
            BackupFile("distributed.db", "distributed", self.data / "distributed.db"),
            BackupFile("records.db", "records", self.data / "records.db"),
            BackupFile(PROGRESS, "progress", self.orders.progress),
            BackupFile("orders.db", "orders", self.orders.orders),
        )

    def find_location(self, name: str) -> Path | None:
        """Returns the location of the file `name` of a backup; None for an unknown name."""
        if name.startswith(f"{ARCHIVE}/"):
            path = self.orders.archive / name.removeprefix(f"{ARCHIVE}/")
            return path if is_archive_name(name.removeprefix(f"{ARCHIVE}/")) else None
        if name.startswith(f"{COVERS}/"):
            return self.data / name if is_cover_file(name.removeprefix(f"{COVERS}/")) else None
        return next((one.path for one in self.store_files if one.name == name), None)

    @property
    def covers(self) -> Path:
        """The folder of covers of books."""
        return self.data / COVERS

    @property
    def lock_files(self) -> tuple[Path, ...]:
        """The lock files of running servers."""
        return (
            self.orders.owner_lock,
            self.orders.workers_lock,
            self.orders.archive_lock,
            self.data / "records.db.lock",
            self.data / "distributed.db.lock",
        )

    @property
    def store_folders(self) -> tuple[Path, ...]:
        """The folders with the files."""
        return tuple(dict.fromkeys((self.data, self.orders.orders.parent)))


def load_locations() -> StoreLocations:
    """Returns the locations from the settings. Raises WrongUsage for a store without files."""
    settings = load_settings(LocationSettings, flags={}, environ=os.environ)
    if settings.store != "sqlite":
        raise WrongUsage(
            "STORE=dynamodb has no files",
            hint="DynamoDB has its own backups: point-in-time recovery, or aws dynamodb create-backup",
        )
    data = Path(settings.data_dir)
    return StoreLocations(StoreFiles(Path(settings.db_path) if settings.db_path else data / "orders.db"), data)


@contextlib.contextmanager
def servers_stopped(locations: StoreLocations) -> Iterator[None]:
    """Holds the locks of all servers. Raises ClientError if a server is running."""
    with contextlib.ExitStack() as stack:
        for path in locations.lock_files:
            lock = FileLock(path)
            stack.callback(lock.close)
            if not lock.try_acquire():
                raise ClientError(f"a server is running and holds {path}", hint="stop the suite first")
        yield
