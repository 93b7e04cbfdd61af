"""The heartbeat of the inventory service: a record with a time, since the service has no port."""

from datetime import UTC, datetime

from clients.persistence import PersistenceClient
from shared.domain.tables import INVENTORY

HEARTBEAT_KEY = {"name": "beat"}
"""The key of the record in `INVENTORY`."""
HEARTBEAT_SECONDS = 5.0
"""The interval of heartbeats."""
HEARTBEAT_TIMEOUT_SECONDS = 3 * HEARTBEAT_SECONDS
"""Age of the last heartbeat from which the service counts as unavailable."""


async def heartbeat_age(records: PersistenceClient) -> float | None:
    """Returns the age of the last heartbeat in seconds; None if there has never been one."""
    stored = await records.get_item(INVENTORY.name, HEARTBEAT_KEY)
    if stored.item is None:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(stored.item["at"])).total_seconds()
