"""The settings of the inventory service; `.env.local` explains each."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from services.settings import NeighbourSettings
from shared.domain.stock import MAX_COUNT, StockThresholds

NonNegative = Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class InventorySettings(NeighbourSettings, frozen=True):
    """Settings by the lower-case names of their environment variables; times are seconds."""

    data_dir: str = "data"
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    low_stock: NonNegative = 5
    low_stock_margin: NonNegative = 2
    low_stock_topic_arn: str | None = None
    uploads_queue_url: str | None = None
    keep_imports_days: Annotated[float, Meta(ge=0)] = 0.0
    keep_movements_days: Annotated[float, Meta(ge=0)] = 0.0
    keep_uploads_days: Annotated[float, Meta(ge=0)] = 0.0
    max_upload_bytes: Annotated[int, Meta(ge=1024)] = 33_554_432

    @property
    def stock_levels(self) -> StockThresholds:
        """The thresholds of low-stock alerts."""
        return StockThresholds(self.low_stock, self.low_stock_margin)

    @property
    def uploads_folder(self) -> Path:
        """The folder whose files are imported."""
        return Path(self.data_dir) / "uploads"
