"""Stock events: items with a low count, and finished imports."""

from collections.abc import Sequence
from typing import Any

from services.distributed.events import Entry, PlainEvent
from services.distributed.notifications import Notifications
from services.distributed.ranking import to_column_integer
from shared.domain.records import Record
from shared.domain.tables import ALERTS, IMPORTS
from shared.stores.ports.records import Change

TABLES = (ALERTS, IMPORTS)
"""Tables whose changes cause stock events."""

_OPEN = "open"
_TOLD = {"acknowledged": "stock.acknowledged", "closed": "stock.recovered"}
"""Names of the events that end an alert, by its new state."""
_IMPORTED = {"applied", "undone"}


class StockEvents:
    """Derives events from changes of `TABLES`; a low item also adds a notification for the user `user`."""

    def __init__(self, notifications: Notifications, *, user: int) -> None:
        self._notifications = notifications
        self._user = user

    def events_of_change(self, change: Change) -> Sequence[Entry]:
        """Returns the events of a change, within the caller's transaction."""
        if change.new is None:
            return []
        before: dict[str, Any] = {} if change.old is None else change.old.item
        if change.table == ALERTS.name:
            return self._alert_events(change, before, change.new)
        return _import_event(change, before, change.new)

    def _alert_events(self, change: Change, before: dict[str, Any], record: Record) -> Sequence[Entry]:
        item = record.item
        counts = {name: to_column_integer(item.get(name)) for name in ("count", "threshold", "number")}
        members = {"store": item["store"], "item": item["item"], **counts}
        state = item.get("state")
        if state == _OPEN:
            if before.get("number") == item.get("number"):
                # Still the same alert, of a count that has changed.
                return []
            text = f"Low stock: {item['store']}, {item['item']}: {counts['count']} left (below {counts['threshold']})"
            _, told = self._notifications.add_notification(self._user, text, "warning")
            return [PlainEvent("stock", "stock.low", change.at, members), told]
        if state not in _TOLD or before.get("state") in (None, state):
            return []
        return [PlainEvent("stock", _TOLD[state], change.at, members)]


def _import_event(change: Change, before: dict[str, Any], record: Record) -> Sequence[Entry]:
    item = record.item
    state = item.get("state")
    if state not in _IMPORTED or before.get("state") == state:
        return []
    members = {"id": item["id"], "name": item.get("name"), "rows": to_column_integer(item.get("rows")), "state": state}
    return [PlainEvent("stock", "stock.imported", change.at, members)]
