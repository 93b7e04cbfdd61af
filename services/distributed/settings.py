"""The settings of the distributed service; `.env.local` explains each."""

from typing import Annotated

from msgspec import Meta

from services.example_secrets import check_no_examples
from services.settings import InternalSettings, ListenAddress, choose_listen_address
from shared.domain.scores import UserId
from shared.runtime.settings import Count, Key, Port, Seconds


class DistributedSettings(InternalSettings, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    distributed_bind: str | None = None
    distributed_host: str = "127.0.0.1"
    distributed_port: Port = 7000
    max_document_bytes: Annotated[int, Meta(ge=1024)] = 262_144
    pickle_key: Key | None = None
    max_events: Count = 1_000_000
    event_seconds: Seconds = 604_800.0
    max_notifications: Count = 1000
    keep_notifications_days: Annotated[float, Meta(ge=0)] = 365.0
    max_products: Count = 100_000
    low_stock_user: UserId = 1

    def check_secrets(self) -> None:
        """Raises StartupError with STAGE=prod if a secret is an example."""
        super().check_secrets()
        check_no_examples(self.stage, {"PICKLE_KEY": self.pickle_key})

    @property
    def listening(self) -> ListenAddress:
        """Address on which the server listens."""
        return choose_listen_address(
            "DISTRIBUTED", bind=self.distributed_bind, host=self.distributed_host, port=self.distributed_port
        )
