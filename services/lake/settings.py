"""The settings of the lake's service; `.env.local` explains each."""

from collections.abc import Mapping
from pathlib import Path

from clients.lake.location import LakeLocation, resolve_location
from services.settings import LAKE_PROGRESS, LakeSwitch, LakeUrl, NeighbourSettings
from shared.domain.errors import StartupError
from shared.lake.tables import TABLES
from shared.runtime.settings import Seconds


class LakeSettings(NeighbourSettings, frozen=True):
    """Settings by the lower-case names of their environment variables; times are seconds."""

    data_dir: str = "data"
    db_path: str | None = None
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    lake: LakeSwitch = "off"
    lake_url: LakeUrl | None = None
    lake_seconds: Seconds = 30.0
    keep_lake_days: str = ""

    @property
    def orders_file(self) -> Path:
        """The first file of the intake's store."""
        return Path(self.db_path) if self.db_path else Path(self.data_dir) / "orders.db"

    @property
    def progress_file(self) -> Path:
        """The file with the positions up to which the lake has everything."""
        return Path(self.data_dir) / LAKE_PROGRESS

    def locate(self) -> LakeLocation:
        """Returns the place of the lake's files."""
        return resolve_location(self.lake_url, self.data_dir, region=self.aws_region, endpoint=self.aws_endpoint_url)

    def list_retention(self) -> Mapping[str, float]:
        """Returns the days for which files are kept, by table or folder of events. Raises StartupError."""
        known = {name for table in TABLES if table.daily for name in (table.name, table.events) if name is not None}
        found: dict[str, float] = {}
        for part in filter(None, (one.strip() for one in self.keep_lake_days.split(","))):
            name, _, days = part.partition("=")
            if name not in known or not days.isdecimal() or int(days) < 1:
                raise StartupError(
                    f"KEEP_LAKE_DAYS has {part!r}",
                    hint=f"NAME=DAYS, separated by commas; names: {', '.join(sorted(known))}",
                )
            found[name] = float(days)
        return found
