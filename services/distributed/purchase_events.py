"""Purchase events, of the shops of all tenants: a purchase was made, handed to the intake, completed, or cancelled."""

from collections.abc import Iterable
from typing import Any

from services.distributed.events import PlainEvent
from services.distributed.purchase_totals import PurchaseTotals
from shared.domain.errors import InvalidParams
from shared.domain.money import to_decimal
from shared.domain.purchases import Purchase, read_purchase
from shared.domain.records import Record
from shared.stores.ports.records import Change


class PurchaseEvents:
    """Derives events from changes of the table `Purchases`, and counts them."""

    def __init__(self, totals: PurchaseTotals) -> None:
        self._totals = totals

    def events_of_change(self, change: Change) -> list[PlainEvent]:
        """Returns the events of a change, within the caller's transaction. They carry no personal data."""
        old, new = _read(change.old), _read(change.new)
        self._totals.count_change(old, new)
        event = None if new is None else _name_event(old, new)
        if new is None or event is None:
            return []
        members: dict[str, Any] = {
            "id": new.purchase,
            "tenant": change.tenant,
            "user": new.user,
            "status": new.status,
            "total_amount": to_decimal(new.total, new.exponent),
            "currency": new.currency,
        }
        if new.order is not None:
            members["order"] = new.order
        if new.reason is not None:
            members["reason"] = new.reason
        return [PlainEvent("purchases", event, change.at, members)]

    def count_records(self, records: Iterable[Record]) -> None:
        """Counts stored purchases within the caller's transaction."""
        self._totals.count_purchases(found for record in records if (found := _read(record)) is not None)


def _name_event(old: Purchase | None, new: Purchase) -> str | None:
    if old is None:
        return "purchase.placed"
    if new.status != old.status:
        return f"purchase.{new.status}"
    return "purchase.ordered" if new.order is not None and old.order is None else None


def _read(record: Record | None) -> Purchase | None:
    """Returns a purchase; None for no record, and for one that another program has written and is none."""
    try:
        return None if record is None else read_purchase(record.item)
    except InvalidParams:
        return None
