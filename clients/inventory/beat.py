"""Whether an inventory service lives: it says so in a record, since it listens nowhere."""

from datetime import UTC, datetime

from clients.persistence import PersistenceClient
from shared.domain.tables import INVENTORY

BEAT = {"name": "beat"}
"""The record's key in `INVENTORY`."""
BEAT_SECONDS = 5.0
"""How often a service says that it lives."""
BEAT_PATIENCE_SECONDS = 3 * BEAT_SECONDS
"""After how long without a word it is taken to be away."""


async def last_beat(records: PersistenceClient) -> float | None:
    """How many seconds ago a service has last said that it lives; None where none ever has."""
    stored = await records.get_item(INVENTORY.name, BEAT)
    if stored.item is None:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(stored.item["at"])).total_seconds()
