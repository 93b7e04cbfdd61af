"""Settings that the servers of the suite have in common."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from clients.access import Access, client_tls
from services.example_secrets import check_no_examples
from shared.domain.errors import StartupError
from shared.net.limits import LimitSettings
from shared.net.listeners import check_exposure
from shared.net.tls import server_tls
from shared.runtime.logs import LogFormat, LogLevel
from shared.runtime.settings import Port, Prefix, Seconds, Token
from shared.stores.audit_log import FOLDER, AuditLog
from shared.stores.dynamodb.settings import DynamoSettings

RequestIdScope = Literal["client", "address"]
"""The scope of a `request_id` without a `client_id`: one namespace for all clients, or one for each address."""

Stage = Literal["dev", "test", "prod"]
"""Development on one machine, a test installation, or production; the last two with authenticated users."""

AuditLogMib = Annotated[int, Meta(ge=1)]

DEFAULT_PREFIX = "comanda-"
TEST_PREFIX = "comanda-test-"
"""The prefix of tables with STAGE=test, unless another one than the default is set."""

LakeSwitch = Literal["off", "on"]

LakeUrl = Annotated[str, Meta(pattern=r"^s3://[^\s?#]+$")]

LAKE_PROGRESS = "lake.db"
"""The file in DATA_DIR with the positions of the lake's service."""

TableName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{3,200}$")]


class ServerSettings(LimitSettings, frozen=True):
    """Settings of the TCP servers, by the lower-case names of their environment variables; times are seconds."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    db_path: str | None = None
    corporate_data: TableName = "CorporateData"
    dynamodb_endpoint: str | None = None
    dynamodb_prefix: Prefix = DEFAULT_PREFIX
    aws_region: str | None = None
    store_seconds: Seconds = 5.0
    store_lock_seconds: Annotated[float, Meta(ge=0)] = 60.0
    tls_cert: str | None = None
    tls_key: str | None = None
    otel_exporter_otlp_endpoint: str | None = None
    audit_log_mib: AuditLogMib = 64
    shutdown_seconds: Seconds = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"
    stage: Stage = "prod"

    def build_tls(self) -> ssl.SSLContext | None:
        """Returns the TLS context of the server's port; None without TLS. Raises StartupError."""
        return server_tls(self.tls_cert, self.tls_key)

    def dynamo_settings(self) -> DynamoSettings:
        """Returns the settings of the DynamoDB client."""
        return DynamoSettings(
            endpoint=self.dynamodb_endpoint,
            region=self.aws_region,
            prefix=self.table_prefix,
            attempt_seconds=self.store_seconds * 0.4,
            deadline_seconds=self.store_seconds,
        )

    def open_audit_log(self, server: str) -> AuditLog:
        """Returns the audit log of a server."""
        return AuditLog(Path(self.data_dir) / FOLDER, server, max_bytes=self.audit_log_mib * 2**20)

    @property
    def table_prefix(self) -> str:
        """Prefix of the names of tables of DynamoDB. A test installation does not write into other tables by default.

        An empty prefix, and any other one that is set, stays as it is.
        """
        if self.stage == "test" and self.dynamodb_prefix == DEFAULT_PREFIX:
            return TEST_PREFIX
        return self.dynamodb_prefix

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
    """Settings of servers whose ports are internal."""

    service_token: Token | None = None
    open_internal_ports: bool = False

    def check_secrets(self) -> None:
        """Raises StartupError with STAGE=prod if a secret is an example."""
        check_no_examples(self.stage, {"SERVICE_TOKEN": self.service_token})

    def check_exposure(self, listeners: Sequence[socket.socket], setting: str) -> None:
        """Raises StartupError for an exposed port without a token; `setting` names the setting of its address."""
        check_exposure(listeners, setting, guarded=self.service_token is not None or self.open_internal_ports)


class NeighbourSettings(Struct, frozen=True):
    """Settings of the services that call other servers: those of the process, and where and how to call."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    shutdown_seconds: Seconds = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"
    server_host: str = "::"
    server_port: Port = 8888
    tcp_persist_host: str = "127.0.0.1"
    tcp_persist_port: Port = 6000
    distributed_host: str = "127.0.0.1"
    distributed_port: Port = 7000
    service_token: Token | None = None
    intake_read_token: Token | None = None
    tls_cert: str | None = None
    tls_ca: str | None = None

    def build_access(self) -> Access:
        """Returns the credentials for the other servers. Raises StartupError."""
        # A self-signed certificate is its own authority.
        trusted = self.tls_ca or self.tls_cert
        if trusted is None:
            return Access(self.service_token)
        try:
            return Access(self.service_token, client_tls(trusted))
        except (OSError, ValueError) as error:
            raise StartupError(
                f"the certificates in {trusted} cannot be used: {error}", hint="TLS_CA names a PEM file"
            ) from error


class ListenAddress(NamedTuple):
    """The address on which a server listens, and the setting that it comes from."""

    host: str
    port: int
    setting: str


def choose_listen_address(name: str, *, bind: str | None, host: str, port: int) -> ListenAddress:
    """Returns the address of the server with the settings `<name>_BIND`, `<name>_HOST` and `<name>_PORT`.

    Clients find the server at `<name>_HOST`. On one machine that is also the address to listen on, so it is used if
    `<name>_BIND` is not set.
    """
    return ListenAddress(host, port, f"{name}_HOST") if bind is None else ListenAddress(bind, port, f"{name}_BIND")


def reachable_host(host: str) -> str:
    """Returns a host for clients of a server that listens on `host`; for a wildcard address, this machine."""
    return "localhost" if host in ("::", "0.0.0.0") else host
