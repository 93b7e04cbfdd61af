"""Findings of an examination, and its settings."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Level = Literal["ok", "warning", "error"]


class Finding(Struct, frozen=True, omit_defaults=True):
    """The result of one check. At the level `error` the suite cannot work, or would lose data."""

    level: Level
    check: str
    found: str
    cure: str | None = None


class DoctorSettings(Struct, frozen=True):
    """The settings of the servers that are examined."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None
    disk_reserve_mib: int = 64
    max_connections: int = 12_000
    server_bind: str | None = None
    server_host: str = "::"
    server_port: int = 8888
    tcp_persist_bind: str | None = None
    tcp_persist_host: str = "127.0.0.1"
    tcp_persist_port: int = 6000
    distributed_bind: str | None = None
    distributed_host: str = "127.0.0.1"
    distributed_port: int = 7000
    main_server_bind: str | None = None
    main_server_host: str = "127.0.0.1"
    main_server_port: int = 5000
    dynamodb_endpoint: str | None = None
    dynamodb_prefix: str = "comanda-"
    aws_region: str | None = None
    lake: Literal["off", "on"] = "off"
    store_seconds: float = 5.0


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any finding is an error."""
    return any(finding.level == "error" for finding in findings)
