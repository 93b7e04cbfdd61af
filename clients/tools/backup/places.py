"""Which files a backup consists of, and where the suite has them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from clients.errors import ClientError, WrongUsage
from shared.runtime.settings import load_settings
from shared.stores.sqlite.archives import is_archive_name
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.lock import FileLock

ARCHIVE = "archive"
"""The folder of archived orders in a backup."""

PROGRESS = "orders-progress.db"
MANIFEST = "manifest.json"
"""The file that makes a folder a backup: it is written last."""


class PlaceSettings(Struct, frozen=True):
    """The settings of the servers that say where their files are."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None


class StoreFile(NamedTuple):
    """One file of the store."""

    name: str
    """In a backup, whatever `DB_PATH` calls it."""
    schema: str
    path: Path
    """Where the suite has it."""


class Places(NamedTuple):
    """Where a suite keeps everything that it stores."""

    orders: StoreFiles
    data: Path

    @property
    def store_files(self) -> tuple[StoreFile, ...]:
        """The files of a backup; a file that follows others comes before them."""
        return (
            StoreFile("distributed.db", "distributed", self.data / "distributed.db"),
            StoreFile("records.db", "records", self.data / "records.db"),
            StoreFile(PROGRESS, "progress", self.orders.progress),
            StoreFile("orders.db", "orders", self.orders.orders),
        )

    def place_of(self, name: str) -> Path | None:
        """Returns where the suite has what is `name` in a backup; None for what belongs to no backup."""
        if name.startswith(f"{ARCHIVE}/"):
            path = self.orders.archive / name.removeprefix(f"{ARCHIVE}/")
            return path if is_archive_name(name.removeprefix(f"{ARCHIVE}/")) else None
        return next((one.path for one in self.store_files if one.name == name), None)

    @property
    def locks(self) -> tuple[Path, ...]:
        """The locks that running servers hold."""
        return (
            self.orders.owner_lock,
            self.orders.workers_lock,
            self.orders.archive_lock,
            self.data / "records.db.lock",
            self.data / "distributed.db.lock",
        )

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that they are in."""
        return tuple(dict.fromkeys((self.data, self.orders.orders.parent)))


def load_places() -> Places:
    """Returns where the settings say that the files are. Raises WrongUsage where there are none."""
    settings = load_settings(PlaceSettings, flags={}, environ=os.environ)
    if settings.store != "sqlite":
        raise WrongUsage(
            "with STORE=dynamodb there are no files",
            hint="DynamoDB keeps backups itself: point-in-time recovery, or aws dynamodb create-backup",
        )
    data = Path(settings.data_dir)
    return Places(StoreFiles(Path(settings.db_path) if settings.db_path else data / "orders.db"), data)


@contextlib.contextmanager
def servers_stopped(places: Places) -> Iterator[None]:
    """Holds the locks of all servers. Raises ClientError while one of them runs."""
    with contextlib.ExitStack() as stack:
        for path in places.locks:
            lock = FileLock(path)
            stack.callback(lock.close)
            if not lock.try_acquire():
                raise ClientError(f"a server is running: it holds {path}", hint="stop the suite first")
        yield
