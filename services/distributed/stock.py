"""What is told of stock: items that run low, and files of stock that came in."""

from collections.abc import Sequence
from typing import Any

from services.distributed.events import Entry, PlainEvent
from services.distributed.notifications import Notifications
from services.distributed.ranking import whole
from shared.domain.records import Record
from shared.domain.tables import ALERTS, IMPORTS
from shared.stores.ports.records import Change

TABLES = (ALERTS, IMPORTS)
"""What it is read from."""

_OPEN = "open"
_TOLD = {"acknowledged": "stock.acknowledged", "closed": "stock.recovered"}
"""What the end of an alert is called, by the alert's state then."""
_IMPORTED = {"applied", "undone"}


class StockNews:
    """Makes events of changes of `TABLES`; an item that runs low is told to the user `user` as a notification."""

    def __init__(self, notifications: Notifications, *, user: int) -> None:
        self._notifications = notifications
        self._user = user

    def take(self, change: Change) -> Sequence[Entry]:
        """The events of a change, within the caller's transaction."""
        if change.new is None:
            return []
        before: dict[str, Any] = {} if change.old is None else change.old.item
        if change.table == ALERTS.name:
            return self._alert(change, before, change.new)
        return _import(change, before, change.new)

    def _alert(self, change: Change, before: dict[str, Any], record: Record) -> Sequence[Entry]:
        item = record.item
        counts = {name: whole(item.get(name)) for name in ("count", "threshold", "number")}
        members = {"store": item["store"], "item": item["item"], **counts}
        state = item.get("state")
        if state == _OPEN:
            if before.get("number") == item.get("number"):
                # Still the same alert, of a count that has changed.
                return []
            text = f"Low stock: {item['store']}, {item['item']}: {counts['count']} left (below {counts['threshold']})"
            _, told = self._notifications.add(self._user, text, "warning")
            return [PlainEvent("stock", "stock.low", change.at, members), told]
        if state not in _TOLD or before.get("state") in (None, state):
            return []
        return [PlainEvent("stock", _TOLD[state], change.at, members)]


def _import(change: Change, before: dict[str, Any], record: Record) -> Sequence[Entry]:
    item = record.item
    state = item.get("state")
    if state not in _IMPORTED or before.get("state") == state:
        return []
    members = {"id": item["id"], "name": item.get("name"), "rows": whole(item.get("rows")), "state": state}
    return [PlainEvent("stock", "stock.imported", change.at, members)]
