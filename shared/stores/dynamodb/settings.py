"""Where DynamoDB is: apart from the client, which takes long to load."""

from msgspec import Struct


class DynamoSettings(Struct, frozen=True):
    """Where DynamoDB is and how long it may take; times are seconds."""

    endpoint: str | None = None
    """None is AWS itself, in the region that the environment names."""
    region: str | None = None
    prefix: str = ""
    """What the names of all tables begin with."""
    attempt_seconds: float = 2.0
    deadline_seconds: float = 5.0
    connections: int = 64


class DynamoWorkSettings(Struct, frozen=True):
    """What the workers of an intake need to know: where, and which server's they are."""

    settings: DynamoSettings
    server: str
