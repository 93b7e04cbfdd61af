"""The intake's settings; `.env.local` explains each."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from shared.net.connection import Limits
from shared.runtime.logs import LogFormat, LogLevel
from shared.runtime.settings import Count, Port, Seconds

# Descriptors that the process needs besides its connections.
_OWN_FILES = 40


class IntakeSettings(Struct, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    server_host: str = "::"
    server_port: Port = 8888
    worker_count: Annotated[int, Meta(ge=1, le=256)] = 2
    data_dir: str = "data"
    db_path: str | None = None
    disk_reserve_mib: Annotated[int, Meta(ge=0)] = 64
    max_pedidos_en_cola: Count = 100_000
    processing_seconds: Annotated[float, Meta(ge=0, le=1e9)] = 1.0
    order_handler: str = "workers.handlers:wait"
    worker_concurrency: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    max_attempts: Count = 3
    retry_seconds: Seconds = 1.0
    max_rescues: Count = 20
    lease_seconds: Annotated[float, Meta(ge=0.2)] = 5.0
    order_timeout_seconds: Seconds = 300.0
    ageing_seconds: Seconds = 30.0
    shutdown_seconds: Seconds = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"
    max_document_bytes: Annotated[int, Meta(ge=1024)] = 262_144
    max_array_orders: Count = 1000
    max_depth: Annotated[int, Meta(ge=4, le=500)] = 32
    max_in_flight: Count = 4096
    max_connections: Count = 12_000
    max_unread_bytes: Annotated[int, Meta(ge=4096)] = 1_048_576
    idle_seconds: Seconds = 300.0
    stall_seconds: Seconds = 60.0
    one_shot_seconds: Seconds = 0.2

    @property
    def orders_file(self) -> Path:
        """The store's first file."""
        return Path(self.db_path) if self.db_path else Path(self.data_dir) / "orders.db"

    def limits(self, open_files: int) -> Limits:
        """What a connection may take, where the process may have `open_files`."""
        return Limits(
            document_bytes=self.max_document_bytes,
            depth=self.max_depth,
            in_flight=self.max_in_flight,
            connections=max(min(self.max_connections, open_files - _OWN_FILES), 1),
            unread_bytes=self.max_unread_bytes,
            idle_seconds=self.idle_seconds,
            stall_seconds=self.stall_seconds,
            one_shot_seconds=self.one_shot_seconds,
        )
