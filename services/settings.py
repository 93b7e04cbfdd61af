"""The settings that every server of the suite has."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from clients.access import Access, client_tls
from shared.domain.errors import StartupError
from shared.net.gate import check_exposure
from shared.net.limits import LimitSettings
from shared.net.tls import server_tls
from shared.runtime.logs import LogFormat, LogLevel
from shared.runtime.settings import Port, Prefix, Seconds, Token
from shared.stores.dynamodb.settings import DynamoSettings

RequestIdScope = Literal["client", "address"]
"""Whose a `request_id` is that comes without a `client_id`: everybody's, or that of the address that it comes from."""

Stage = Literal["dev", "prod"]
"""Whether the suite is for a machine of one's own, or for others to use."""

TableName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{3,200}$")]


class ServerSettings(LimitSettings, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None
    corporate_data: TableName = "CorporateData"
    dynamodb_endpoint: str | None = None
    dynamodb_prefix: Prefix = "comanda-"
    aws_region: str | None = None
    store_seconds: Seconds = 5.0
    store_lock_seconds: Annotated[float, Meta(ge=0)] = 60.0
    tls_cert: str | None = None
    tls_key: str | None = None
    otel_exporter_otlp_endpoint: str | None = None
    shutdown_seconds: Seconds = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"

    def tls(self) -> ssl.SSLContext | None:
        """What connections are encrypted with. Raises StartupError."""
        return server_tls(self.tls_cert, self.tls_key)

    def dynamo(self) -> DynamoSettings:
        """Where DynamoDB is."""
        return DynamoSettings(
            endpoint=self.dynamodb_endpoint,
            region=self.aws_region,
            prefix=self.dynamodb_prefix,
            attempt_seconds=self.store_seconds * 0.4,
            deadline_seconds=self.store_seconds,
        )

    @property
    def orders_file(self) -> Path:
        """The first file of the intake's store."""
        return Path(self.db_path) if self.db_path else Path(self.data_dir) / "orders.db"

    @property
    def records_file(self) -> Path:
        """The file of the persistence server's store."""
        return Path(self.data_dir) / "records.db"

    @property
    def distributed_file(self) -> Path:
        """The file of the distributed service."""
        return Path(self.data_dir) / "distributed.db"


class InternalSettings(ServerSettings, frozen=True):
    """The settings of servers that are for other services, and not for everybody."""

    service_token: Token | None = None
    open_internal_ports: bool = False

    def check_exposure(self, listeners: Sequence[socket.socket], setting: str) -> None:
        """Raises StartupError for a port that anybody could use; `setting` says where it listens."""
        check_exposure(listeners, setting, guarded=self.service_token is not None or self.open_internal_ports)


class NeighbourSettings(Struct, frozen=True):
    """Where the other servers are found, for those that ask them, and what lets in there."""

    server_host: str = "::"
    server_port: Port = 8888
    tcp_persist_host: str = "127.0.0.1"
    tcp_persist_port: Port = 6000
    distributed_host: str = "127.0.0.1"
    distributed_port: Port = 7000
    service_token: Token | None = None
    tls_cert: str | None = None
    tls_ca: str | None = None

    def access(self) -> Access:
        """What lets in elsewhere. Raises StartupError."""
        # A certificate that nobody else has signed is its own authority.
        trusted = self.tls_ca or self.tls_cert
        if trusted is None:
            return Access(self.service_token)
        try:
            return Access(self.service_token, client_tls(trusted))
        except (OSError, ValueError) as error:
            raise StartupError(
                f"the certificates in {trusted} cannot be used: {error}", hint="TLS_CA names a PEM file"
            ) from error


class Listening(NamedTuple):
    """Where a server listens, and the setting that says so."""

    host: str
    port: int
    setting: str


def choose_listening(name: str, *, bind: str | None, host: str, port: int) -> Listening:
    """Returns where the server of the settings `<name>_BIND`, `<name>_HOST` and `<name>_PORT` listens.

    `<name>_HOST` says where others find the server. On one machine both are the same, so it counts where `<name>_BIND`
    is not set.
    """
    return Listening(host, port, f"{name}_HOST") if bind is None else Listening(bind, port, f"{name}_BIND")


def reachable(host: str) -> str:
    """Where to find a server that listens on `host`: one that listens everywhere is on this machine, too."""
    return "localhost" if host in ("::", "0.0.0.0") else host
