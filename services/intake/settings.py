"""The intake's settings; `.env.local` explains each."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from services.example_secrets import check_no_examples
from services.settings import (
    LAKE_PROGRESS,
    LakeSwitch,
    ListenAddress,
    RequestIdScope,
    ServerSettings,
    choose_listen_address,
    reachable_host,
)
from shared.domain.errors import StartupError
from shared.net.listeners import is_open_to_others
from shared.runtime.settings import Count, Port, Seconds, Token
from workers.handlers import Kit, PaymentsName, Unstocked


class IntakeSettings(ServerSettings, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    server_bind: str | None = None
    server_host: str = "::"
    server_port: Port = 8888
    open_internal_ports: bool = False
    worker_count: Annotated[int, Meta(ge=1, le=256)] = 2
    keep_final_days: Annotated[float, Meta(ge=0)] = 0.0
    outbox_days: Annotated[float, Meta(gt=0)] = 7.0
    disk_reserve_mib: Annotated[int, Meta(ge=0)] = 64
    request_id_scope: RequestIdScope = "client"
    request_id_seconds: Annotated[float, Meta(ge=0)] = 604_800.0
    max_pedidos_en_cola: Count = 100_000
    unstocked_items: Unstocked = "accept"
    payments: PaymentsName = "simulated"
    processing_seconds: Annotated[float, Meta(ge=0, le=1e9)] = 1.0
    order_handler: str = "workers.handlers:wait"
    worker_concurrency: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    worker_document_bytes: Annotated[int, Meta(ge=1024)] = 16_777_216
    max_attempts: Count = 3
    attempts_kept: Count = 10
    max_traceback_bytes: Annotated[int, Meta(ge=256, le=65_536)] = 4096
    retry_seconds: Seconds = 1.0
    max_rescues: Count = 20
    server_lease_seconds: Annotated[float, Meta(ge=1)] = 15.0
    lease_seconds: Annotated[float, Meta(ge=0.2)] = 5.0
    order_timeout_seconds: Seconds = 300.0
    ageing_seconds: Seconds = 30.0
    max_document_bytes: Annotated[int, Meta(ge=1024)] = 262_144
    max_array_orders: Count = 1000
    tcp_persist_host: str = "127.0.0.1"
    tcp_persist_port: Port = 6000
    service_token: Token | None = None
    intake_read_token: Token | None = None
    tls_ca: str | None = None
    lake: LakeSwitch = "off"

    def list_followers(self) -> list[Path]:
        """Returns the files with the positions of the followers of the outbox: what they have not read is kept."""
        lake = [Path(self.data_dir) / LAKE_PROGRESS] if self.lake == "on" else []
        return [self.distributed_file, *lake]

    @property
    def kit(self) -> Kit:
        """The settings that handlers can be built with."""
        return Kit(
            processing_seconds=self.processing_seconds,
            persistence_host=reachable_host(self.tcp_persist_host),
            persistence_port=self.tcp_persist_port,
            service_token=self.service_token,
            trusted=self.tls_ca or self.tls_cert,
            unstocked_items=self.unstocked_items,
            payments=self.payments,
        )

    def check_secrets(self) -> None:
        """Raises StartupError with STAGE=prod if a secret is an example."""
        check_no_examples(
            self.stage, {"SERVICE_TOKEN": self.service_token, "INTAKE_READ_TOKEN": self.intake_read_token}
        )

    def check_exposure(self, listeners: Sequence[socket.socket]) -> None:
        """Raises StartupError with STAGE=prod if strangers could read and cancel orders; closes the listeners then."""
        guarded = self.stage != "prod" or self.intake_read_token is not None or self.open_internal_ports
        if guarded or not is_open_to_others(listeners):
            return
        for listener in listeners:
            listener.close()
        raise StartupError(
            f"{self.listening.setting} lets other machines see, cancel and retry all orders without authentication",
            hint="set INTAKE_READ_TOKEN, or SERVER_BIND=localhost, or OPEN_INTERNAL_PORTS=true if the network keeps "
            "others out",
        )

    @property
    def listening(self) -> ListenAddress:
        """The address that the server listens on."""
        return choose_listen_address("SERVER", bind=self.server_bind, host=self.server_host, port=self.server_port)
