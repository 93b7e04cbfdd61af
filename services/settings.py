"""The settings that every server of the suite has."""

from typing import Literal

from shared.net.limits import LimitSettings
from shared.runtime.logs import LogFormat, LogLevel
from shared.runtime.settings import Seconds
from shared.stores.dynamodb.settings import DynamoSettings


class ServerSettings(LimitSettings, frozen=True):
    """Names are those of the environment, in lower case; times are seconds."""

    store: Literal["sqlite", "dynamodb"] = "sqlite"
    data_dir: str = "data"
    dynamodb_endpoint: str | None = None
    dynamodb_prefix: str = "comanda-"
    aws_region: str | None = None
    store_seconds: Seconds = 5.0
    shutdown_seconds: Seconds = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"

    def dynamo(self) -> DynamoSettings:
        """Where DynamoDB is."""
        return DynamoSettings(
            endpoint=self.dynamodb_endpoint,
            region=self.aws_region,
            prefix=self.dynamodb_prefix,
            attempt_seconds=self.store_seconds * 0.4,
            deadline_seconds=self.store_seconds,
        )
