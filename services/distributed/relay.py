"""The relay: reads the changes of the other servers and updates the read model.

A batch, what is made of it, and the position behind it are one transaction. So each event counts once,
whoever is killed when; and what happened while this service was away is read when it comes back.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from services.distributed.events import Entry, PlainEvent, order_event
from services.distributed.purchase_events import PurchaseEvents
from services.distributed.ranking import to_column_integer
from services.distributed.read_model import ReadModel
from services.distributed.stock_events import TABLES as STOCK_TABLES
from services.distributed.stock_events import StockEvents
from shared.domain.errors import Gone, StoreError
from shared.domain.scores import is_record
from shared.domain.tables import PURCHASES, SCORES, USERS
from shared.runtime.clock import iso_now
from shared.runtime.traces import Traces
from shared.stores.ports.feeds import OrderEvents, OrderFeed, OrderStateChange, RecordFeed
from shared.stores.ports.records import Change, Changes
from shared.stores.sqlite.order_positions import ORDERS, ORDERS_BEFORE, RECORDS, RECORDS_BEFORE, OrderPosition

_POLL_SECONDS = 0.02
_RETRY_SECONDS = 1.0
# When there is much to catch up with, a third of the time has to do: the rest is for those who make it.
_SPARE = 2.0
_ORDERS = 1000
_CHANGES = 500
_TENANT = "main"
_STOCK = {table.name for table in STOCK_TABLES}


class Relay:
    """Updates the read model until cancelled; `data` is the table of corporate data."""

    def __init__(
        self,
        read_model: ReadModel,
        orders: OrderFeed,
        records: RecordFeed,
        stock: StockEvents,
        *,
        data: str,
        traces: Traces | None = None,
    ) -> None:
        self._read_model = read_model
        self._orders = orders
        self._records = records
        self._stock = stock
        self._purchases = PurchaseEvents(read_model.purchases)
        self._data = data
        self._traces = traces
        self._trouble: str | None = None
        self._sources = dict.fromkeys((ORDERS, RECORDS), "not there yet")
        self._log = structlog.get_logger()

    def state(self) -> dict[str, Any]:
        """State of following the other servers."""
        return dict(self._sources) if self._trouble is None else {**self._sources, "trouble": self._trouble}

    async def run(self) -> None:
        """Reads changes as they are committed, until cancelled."""
        while True:
            began = time.process_time()
            try:
                busy = await self.read_once()
                self._trouble = None
            except StoreError as error:
                if self._trouble is None:
                    self._log.error("following_failed", reason=error.message)
                self._trouble = error.message
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await asyncio.sleep((time.process_time() - began) * _SPARE if busy else _POLL_SECONDS)

    async def read_once(self) -> bool:
        """Reads a bounded number of changes; returns whether there may be more. Raises StoreError."""
        read_model = self._read_model
        orders = await self._orders.read_events(read_model.load_position(ORDERS), limit=_ORDERS)
        changes = await self._read_changes()
        for name, found in ((ORDERS, orders), (RECORDS, changes)):
            self._sources[name] = "not there yet" if found is None else "followed"
        order_changes = [] if orders is None else orders.events
        changed = [] if changes is None else changes.changes
        read = {ORDERS: orders and orders.position, RECORDS: changes and changes.position}
        if all(position in (None, read_model.load_position(name)) for name, position in read.items()):
            return False
        with read_model.transaction(20 + len(order_changes) + 4 * len(changed)) as commit:
            entries = [] if orders is None else self._take_orders(orders)
            entries += [] if changes is None else self._take_changes(changes)
            commit(entries)
        if self._traces is not None:
            self._trace_events(self._traces, order_changes)
        return sum(one.orders for one in order_changes) >= _ORDERS or len(changed) >= _CHANGES

    def _trace_events(self, traces: Traces, order_changes: Sequence[OrderStateChange]) -> None:
        now = time.time()
        for one in order_changes:
            for order, trace in one.traces.items():
                seconds = max(now - one.at / 1e6, 0.0)
                traces.record_span(f"event {one.transition.event}", trace, seconds=seconds, order=order)

    def _take_orders(self, found: OrderEvents) -> list[Entry]:
        if found.restarted:
            before = self._read_model.load_position(ORDERS)
            self._log.warning("orders_followed_from_the_beginning", position_before=before, position=found.position)
            if before is not None:
                # The intake reads it: the numbers up to there were given, whatever its files still know. It may begin
                # again twice before there are new orders, so what is there already counts, too.
                position = OrderPosition.parse(before)
                if (earlier := self._read_model.load_position(ORDERS_BEFORE)) is not None:
                    position = position.max_with(OrderPosition.parse(earlier))
                self._read_model.save_position(ORDERS_BEFORE, str(position))
            self._read_model.orders.reset()
            if found.totals is not None:
                self._log.warning("orders_counted_from_totals", orders=found.totals[None])
                self._read_model.orders.set_totals(found.totals)
        self._read_model.orders.count_events(found.events)
        self._read_model.save_position(ORDERS, found.position)
        return [order_event(one) for one in found.events]

    # Records.

    async def _read_changes(self) -> Changes | None:
        try:
            return await self._records.read_changes(self._read_model.load_position(RECORDS), limit=_CHANGES)
        except Gone:
            await self._read_anew()
            return await self._records.read_changes(self._read_model.load_position(RECORDS), limit=_CHANGES)

    async def _read_anew(self) -> None:
        """Reads the records themselves after a gap in the change feed."""
        self._log.warning("record_changes_expired")
        position = await self._records.newest_position()
        before = self._read_model.load_position(RECORDS)
        with self._read_model.transaction(1):
            if before is not None:
                # The persistence server reads it: numbers up to there were given, whatever its file still knows.
                earlier = self._read_model.load_position(RECORDS_BEFORE)
                self._read_model.save_position(RECORDS_BEFORE, max(before, earlier or "0", key=int))
                self._read_model.save_last_gap(iso_now())
            self._read_model.ranking.reset()
            self._read_model.purchases.reset()
        async for page in self._records.read_items(USERS):
            with self._read_model.transaction(len(page)):
                for record in page:
                    self._read_model.ranking.save_profile(record.item)
        async for page in self._records.read_items(SCORES):
            with self._read_model.transaction(10 * len(page)):
                for record in page:
                    self._read_model.ranking.save_score(record)
        async for page in self._records.read_items(PURCHASES):
            with self._read_model.transaction(1):
                self._purchases.count_records(page)
        with self._read_model.transaction(1):
            self._read_model.save_position(RECORDS, position)

    def _take_changes(self, found: Changes) -> Sequence[Entry]:
        entries: list[Entry] = []
        for change in found.changes:
            if change.table == PURCHASES.name:
                entries += self._purchases.events_of_change(change)
            elif change.tenant == _TENANT:
                entries += self._take_change(change)
        self._read_model.save_position(RECORDS, found.position)
        return entries

    def _take_change(self, change: Change) -> Sequence[Entry]:
        ranking = self._read_model.ranking
        record = change.new or change.old
        assert record is not None
        if change.table == USERS.name:
            (ranking.forget_name if change.new is None else ranking.save_profile)(record.item)
        elif change.table == SCORES.name:
            if change.new is None:
                ranking.forget_score(record.item)
                return []
            ranking.save_score(record)
            return self._score_event(change)
        elif change.table in _STOCK:
            return self._stock.events_of_change(change)
        elif change.table == self._data:
            members = {"id": record.item["id"], "version": record.version}
            return [
                PlainEvent("records", f"record.{'deleted' if change.new is None else 'changed'}", change.at, members)
            ]
        return []

    def _score_event(self, change: Change) -> Sequence[Entry]:
        """Returns the events of a saved score; a record also adds a notification."""
        assert change.new is not None
        item = change.new.item
        user, best = to_column_integer(item.get("user_id")), to_column_integer(item.get("puntaje_maximo"))
        if user is None or best is None:
            return []
        before = None if change.old is None else to_column_integer(change.old.item.get("puntaje_maximo"))
        members = {"user_id": user, "puntaje_maximo": best, "partidas": to_column_integer(item.get("partidas")) or 0}
        if not is_record(best, before):
            return [PlainEvent("scores", "score.saved", change.at, members, user)]
        _, told = self._read_model.notifications.add_notification(user, f"New record: {best}", "success")
        return [PlainEvent("scores", "score.record", change.at, {**members, "anterior": before}, user), told]
