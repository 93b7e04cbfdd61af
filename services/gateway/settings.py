"""The settings of the gateway; `.env.local` explains each."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from services.search_settings import SearchSettings
from services.settings import (
    AuditLogMib,
    LakeSwitch,
    LakeUrl,
    ListenAddress,
    RequestIdScope,
    Stage,
    choose_listen_address,
)
from shared.domain.covers import COVERS
from shared.domain.errors import StartupError
from shared.domain.passwords import LEAST_MINIMUM
from shared.domain.stock import MAX_COUNT
from shared.runtime.settings import Count, Key, Port, Seconds, SecretText, SecretUrl

NonNegative = Annotated[int, Meta(ge=0)]
LogRequests = Literal["slow", "all"]
_PASSWORD_MIN = 15


class GatewaySettings(SearchSettings, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    main_server_bind: str | None = None
    main_server_host: str = "127.0.0.1"
    main_server_port: Port = 5000
    tls_key: str | None = None
    stage: Stage = "prod"
    open_internal_ports: bool = False
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    jwt_keys: SecretText | None = None
    jwt_secret: Key | None = None
    audit_log_mib: AuditLogMib = 64
    password_min: Annotated[int, Meta(ge=LEAST_MINIMUM, le=64)] | None = None
    password_memory_kib: Annotated[int, Meta(ge=7168, le=65_536)] = 19_456
    password_rounds: Annotated[int, Meta(ge=1, le=16)] = 2
    refresh_token_days: Annotated[float, Meta(gt=0, le=365)] = 30.0
    session_cookie_hours: Annotated[float, Meta(gt=0, le=8760)] = 12.0
    max_sessions_per_account: Annotated[int, Meta(ge=1, le=900)] = 50
    public_url: Annotated[str, Meta(pattern=r"^https?://[^\s#?]+$")] | None = None
    smtp_url: SecretUrl | None = None
    mail_from: Annotated[str, Meta(pattern=r"^[^\r\n]*@[^\r\n]*$")] = "Comanda <no-reply@localhost>"
    cors_origins: str = ""
    trusted_proxies: str = ""
    allowed_hosts: str = ""
    request_id_scope: RequestIdScope = "client"
    legacy_routes: bool = False
    rate_limit: str = "2000/second"
    tenant_limits: str = (
        "read=500/second,search=100/second,write=50/second,checkout=20/second,login=20/minute,register=5/hour,"
        "sql=10/minute"
    )
    redis_url: SecretUrl | None = None
    otel_exporter_otlp_endpoint: str | None = None
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 1_048_576
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 32_768
    max_requests: Count = 1000
    max_event_streams: NonNegative = 2000
    max_event_streams_per_address: Count = 100
    max_connections: Count = 12_000
    max_connections_per_address: Count = 1000
    max_array_orders: Count = 1000
    max_upload_bytes: Annotated[int, Meta(ge=1024)] = 33_554_432
    max_uploads: Count = 4
    upload_seconds: Seconds = 300.0
    max_cover_bytes: Annotated[int, Meta(ge=1024)] = 5_242_880
    max_covers_at_once: Count = 1
    covers_bucket: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] | None = None
    lake: LakeSwitch = "off"
    lake_url: LakeUrl | None = None
    sql_seconds: Seconds = 10.0
    sql_memory_mib: Annotated[int, Meta(ge=512, le=1_048_576)] = 1500
    max_sql_rows: Count = 10_000
    max_sql_bytes: Annotated[int, Meta(ge=1024)] = 8_388_608
    max_sql_queries: Annotated[int, Meta(ge=1, le=64)] = 2
    low_stock: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 5
    recent_shop_entries: NonNegative = 20_000
    request_seconds: Seconds = 10.0
    idle_seconds: Seconds = 300.0
    backend_connections: Annotated[int, Meta(ge=2)] = 4
    log_requests: LogRequests = "slow"
    slow_request_seconds: Seconds = 1.0

    @property
    def has_encrypted_clients(self) -> bool:
        """Whether browsers reach the gateway over TLS only: its own, or that of the proxy in PUBLIC_URL."""
        return self.tls_key is not None or self.link_base.startswith("https://")

    @property
    def link_base(self) -> str:
        """The address with which links to the dashboard begin: PUBLIC_URL, or the port of this machine."""
        scheme = "http" if self.tls_key is None else "https"
        return self.public_url or f"{scheme}://localhost:{self.main_server_port}"

    @property
    def least_password(self) -> int:
        """Minimum length of new passwords: NIST SP 800-63B-4 asks for 15 characters where nothing else is checked."""
        if self.password_min is not None:
            return self.password_min
        return _PASSWORD_MIN if self.stage == "prod" else LEAST_MINIMUM

    @property
    def covers_folder(self) -> Path:
        """The folder of covers of books."""
        return Path(self.data_dir) / COVERS

    @property
    def listening(self) -> ListenAddress:
        """Address on which the server listens."""
        return choose_listen_address(
            "MAIN_SERVER", bind=self.main_server_bind, host=self.main_server_host, port=self.main_server_port
        )

    def list_origins(self) -> list[str]:
        """Returns the origins of CORS_ORIGINS. Raises StartupError for `*`."""
        origins = split_list(self.cors_origins)
        if "*" in origins:
            raise StartupError("CORS_ORIGINS=* would open the API to every page", hint="name the origins")
        return origins


def split_list(named: str) -> list[str]:
    """Returns the members of a comma-separated list."""
    return [member.strip() for member in named.split(",") if member.strip()]
