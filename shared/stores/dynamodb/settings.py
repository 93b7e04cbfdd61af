"""Settings of DynamoDB, separate from the client, which is slow to import."""

from msgspec import Struct


class DynamoSettings(Struct, frozen=True):
    """The address of DynamoDB, and time limits in seconds."""

    endpoint: str | None = None
    """None means AWS, in the region of the environment."""
    region: str | None = None
    prefix: str = ""
    """Prefix of all table names."""
    attempt_seconds: float = 2.0
    deadline_seconds: float = 5.0
    connections: int = 64


class DynamoWorkSettings(Struct, frozen=True):
    """Settings of an intake's workers: DynamoDB, and the name of their server."""

    settings: DynamoSettings
    server: str
