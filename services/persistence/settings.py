"""The settings of the persistence server; `.env.local` explains each."""

from typing import Annotated

from msgspec import Meta

from services.settings import InternalSettings, ListenAddress, TableName, choose_listen_address
from shared.runtime.settings import Port


class PersistenceSettings(InternalSettings, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    tcp_persist_bind: str | None = None
    tcp_persist_host: str = "127.0.0.1"
    tcp_persist_port: Port = 6000
    corporate_log: TableName = "CorporateLog"
    keep_audit_days: Annotated[float, Meta(ge=0)] = 0.0
    record_cache_mib: Annotated[int, Meta(ge=0, le=16_384)] = 8
    max_transaction_bytes: Annotated[int, Meta(ge=1024)] = 4_194_304

    @property
    def opens_private_tables(self) -> bool:
        """Whether tables with credentials and sessions are open: to authenticated programs, or in development."""
        return self.service_token is not None or self.stage == "dev"

    @property
    def listening(self) -> ListenAddress:
        """Address on which the server listens."""
        return choose_listen_address(
            "TCP_PERSIST", bind=self.tcp_persist_bind, host=self.tcp_persist_host, port=self.tcp_persist_port
        )
