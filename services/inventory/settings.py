"""The settings of the inventory service; `.env.local` explains each."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from shared.domain.stock import MAX_COUNT, Levels
from shared.runtime.logs import LogFormat, LogLevel
from shared.runtime.settings import Port, Seconds

NonNegative = Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class InventorySettings(Struct, frozen=True):
    """Names are those of the environment, in lower case; times are seconds.

    The other servers' hosts are where they listen; `::` and `0.0.0.0` mean this machine.
    """

    data_dir: str = "data"
    store: Literal["sqlite", "dynamodb"] = "sqlite"
    server_host: str = "::"
    server_port: Port = 8888
    tcp_persist_host: str = "127.0.0.1"
    tcp_persist_port: Port = 6000
    distributed_host: str = "127.0.0.1"
    distributed_port: Port = 7000
    service_token: Annotated[str, Meta(min_length=16)] | None = None
    tls_cert: str | None = None
    tls_ca: str | None = None
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    low_stock: NonNegative = 5
    low_stock_margin: NonNegative = 2
    low_stock_topic_arn: str | None = None
    uploads_queue_url: str | None = None
    max_upload_bytes: Annotated[int, Meta(ge=1024)] = 67_108_864
    shutdown_seconds: Seconds = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"

    @property
    def levels(self) -> Levels:
        """When an item is low."""
        return Levels(self.low_stock, self.low_stock_margin)

    @property
    def uploads(self) -> Path:
        """The folder whose files are imported."""
        return Path(self.data_dir) / "uploads"
