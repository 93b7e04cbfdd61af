"""Follows the other servers: reads what has happened there, and brings what is known here up to date with it.

A batch, what is made of it, and the position behind it are one transaction. So each event counts once,
whoever is killed when; and what happened while this service was away is read when it comes back.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from services.distributed.events import Entry, PlainEvent, order_event
from services.distributed.knowledge import Knowledge
from services.distributed.ranking import whole
from services.distributed.stock import TABLES as STOCK_TABLES
from services.distributed.stock import StockNews
from shared.domain.errors import Gone, StoreError
from shared.domain.scores import is_record
from shared.domain.tables import SCORES, USERS
from shared.runtime.traces import Traces
from shared.stores.ports.feeds import Happened, OrderEvents, OrderFeed, RecordFeed
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
    """Keeps `knowledge` up to date until cancelled; `data` is the table of corporate data."""

    def __init__(
        self,
        knowledge: Knowledge,
        orders: OrderFeed,
        records: RecordFeed,
        stock: StockNews,
        *,
        data: str,
        traces: Traces | None = None,
    ) -> None:
        self._knowledge = knowledge
        self._orders = orders
        self._records = records
        self._stock = stock
        self._data = data
        self._traces = traces
        self._trouble: str | None = None
        self._sources = dict.fromkeys((ORDERS, RECORDS), "not there yet")
        self._log = structlog.get_logger()

    def state(self) -> dict[str, Any]:
        """How far the others are followed."""
        return dict(self._sources) if self._trouble is None else {**self._sources, "trouble": self._trouble}

    async def run(self) -> None:
        """Reads whenever there is something to read."""
        while True:
            began = time.process_time()
            try:
                busy = await self.step()
                self._trouble = None
            except StoreError as error:
                if self._trouble is None:
                    self._log.error("cannot follow the other servers; trying again", reason=error.message)
                self._trouble = error.message
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await asyncio.sleep((time.process_time() - began) * _SPARE if busy else _POLL_SECONDS)

    async def step(self) -> bool:
        """Reads what there is, up to a bound: whether there may be more. Raises StoreError."""
        knowledge = self._knowledge
        orders = await self._orders.events(knowledge.position(ORDERS), limit=_ORDERS)
        changes = await self._changes()
        for name, found in ((ORDERS, orders), (RECORDS, changes)):
            self._sources[name] = "not there yet" if found is None else "followed"
        happened = [] if orders is None else orders.events
        changed = [] if changes is None else changes.changes
        read = {ORDERS: orders and orders.position, RECORDS: changes and changes.position}
        if all(position in (None, knowledge.position(name)) for name, position in read.items()):
            return False
        with knowledge.transaction(20 + len(happened) + 4 * len(changed)) as commit:
            entries = [] if orders is None else self._take_orders(orders)
            entries += [] if changes is None else self._take_changes(changes)
            commit(entries)
        if self._traces is not None:
            self._trace(self._traces, happened)
        return sum(one.orders for one in happened) >= _ORDERS or len(changed) >= _CHANGES

    def _trace(self, traces: Traces, happened: Sequence[Happened]) -> None:
        now = time.time()
        for one in happened:
            for order, trace in one.traces.items():
                traces.span(f"event {one.event}", trace, seconds=max(now - one.at / 1e6, 0.0), order=order)

    def _take_orders(self, found: OrderEvents) -> list[Entry]:
        if found.restarted:
            before = self._knowledge.position(ORDERS)
            self._log.warning("orders_followed_from_the_beginning", position_before=before, position=found.position)
            if before is not None:
                # The intake reads it: the numbers up to there were given, whatever its files still know. It may begin
                # again twice before there are new orders, so what is there already counts, too.
                position = OrderPosition.parse(before)
                if (earlier := self._knowledge.position(ORDERS_BEFORE)) is not None:
                    position = position.behind(OrderPosition.parse(earlier))
                self._knowledge.move(ORDERS_BEFORE, str(position))
            self._knowledge.orders.reset()
            if found.totals is not None:
                self._log.warning("orders_counted_from_totals", orders=found.totals[None])
                self._knowledge.orders.begin(found.totals)
        self._knowledge.orders.apply(found.events)
        self._knowledge.move(ORDERS, found.position)
        return [order_event(one) for one in found.events]

    # Records.

    async def _changes(self) -> Changes | None:
        try:
            return await self._records.changes(self._knowledge.position(RECORDS), limit=_CHANGES)
        except Gone:
            await self._read_anew()
            return await self._records.changes(self._knowledge.position(RECORDS), limit=_CHANGES)

    async def _read_anew(self) -> None:
        """Takes records as they are, where the changes that made them are not kept any more."""
        self._log.warning("changes of records are gone; reading all scores anew")
        position = await self._records.newest()
        before = self._knowledge.position(RECORDS)
        with self._knowledge.transaction(1):
            if before is not None:
                # The persistence server reads it: numbers up to there were given, whatever its file still knows.
                earlier = self._knowledge.position(RECORDS_BEFORE)
                self._knowledge.move(RECORDS_BEFORE, max(before, earlier or "0", key=int))
            self._knowledge.ranking.reset()
        async for page in self._records.everything(USERS):
            with self._knowledge.transaction(len(page)):
                for record in page:
                    self._knowledge.ranking.name(record.item)
        async for page in self._records.everything(SCORES):
            with self._knowledge.transaction(10 * len(page)):
                for record in page:
                    self._knowledge.ranking.score(record)
        with self._knowledge.transaction(1):
            self._knowledge.move(RECORDS, position)

    def _take_changes(self, found: Changes) -> Sequence[Entry]:
        entries: list[Entry] = []
        for change in found.changes:
            if change.tenant == _TENANT:
                entries += self._take_change(change)
        self._knowledge.move(RECORDS, found.position)
        return entries

    def _take_change(self, change: Change) -> Sequence[Entry]:
        ranking = self._knowledge.ranking
        record = change.new or change.old
        assert record is not None
        if change.table == USERS.name:
            (ranking.forget_name if change.new is None else ranking.name)(record.item)
        elif change.table == SCORES.name:
            if change.new is None:
                ranking.forget_score(record.item)
                return []
            ranking.score(record)
            return self._scored(change)
        elif change.table in _STOCK:
            return self._stock.take(change)
        elif change.table == self._data:
            members = {"id": record.item["id"], "version": record.version}
            return [
                PlainEvent("records", f"record.{'deleted' if change.new is None else 'changed'}", change.at, members)
            ]
        return []

    def _scored(self, change: Change) -> Sequence[Entry]:
        """What is told of a game: a record is a notification as well."""
        assert change.new is not None
        item = change.new.item
        user, best = whole(item.get("user_id")), whole(item.get("puntaje_maximo"))
        if user is None or best is None:
            return []
        before = None if change.old is None else whole(change.old.item.get("puntaje_maximo"))
        members = {"user_id": user, "puntaje_maximo": best, "partidas": whole(item.get("partidas")) or 0}
        if not is_record(best, before):
            return [PlainEvent("scores", "score.saved", change.at, members, user)]
        _, told = self._knowledge.notifications.add(user, f"New record: {best}", "success")
        return [PlainEvent("scores", "score.record", change.at, {**members, "anterior": before}, user), told]
