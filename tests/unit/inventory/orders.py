"""Jobs, stores and records for tests of reserving, without a server."""

from collections.abc import Sequence
from typing import Any

import msgspec

from clients.persistence import StoredItem
from services.inventory.grants import GrantedStock, ReservationBlock, block_of, read_grants
from shared.domain.ids import id_prefix
from shared.domain.orders import OrderRequest
from shared.domain.records import Action, Record, Update
from shared.domain.tables import RESERVATIONS, STOCK
from shared.stores.evaluation import evaluate_action
from workers.handlers import Job

PREFIX = id_prefix(1_700_000_000_000_000, 5)
NOW = "2026-01-01T00:00:00.000000Z"

Counts = dict[str, dict[str, int]]
"""How many each store has, by product and store."""


def job(number: int, *products: Any, attempt: int = 1) -> Job:
    members = {"cliente": "a", "productos": list(products), "direccion": "d"}
    return Job(f"{PREFIX}{number:012x}", attempt, msgspec.convert(members, OrderRequest))


def updates(actions: Sequence[Action], table: str) -> list[Update]:
    return [action for action in actions if isinstance(action, Update) and action.table == table]


def taken(actions: Sequence[Action]) -> dict[tuple[str, str], int]:
    return {(one.key["store"], one.key["item"]): -one.add["count"] for one in updates(actions, STOCK.name)}


class Records:
    """The records of stock and reservations as a store would keep them."""

    def __init__(self, counts: Counts) -> None:
        self._found: dict[tuple[str, ...], Record] = {
            (STOCK.name, store, item): Record({"store": store, "item": item, "count": count}, 1)
            for item, stores in counts.items()
            for store, count in stores.items()
        }

    def transact(self, actions: Sequence[Action]) -> list[StoredItem]:
        """Does all of it; raises Conflict and does nothing where one condition does not hold."""
        tables = {table.name: table for table in (STOCK, RESERVATIONS)}
        planned: dict[tuple[str, ...], Record] = {}
        for action in actions:
            assert isinstance(action, Update)
            place = (action.table, *action.key.values())
            assert place not in planned
            record = evaluate_action(action, tables[action.table], self._found.get(place), 0)
            assert record is not None
            planned[place] = record
        self._found |= planned
        return [StoredItem(record.item, record.version) for record in planned.values()]

    def block(self, block: str) -> StoredItem:
        record = self._found.get((RESERVATIONS.name, block))
        return StoredItem(None, 0) if record is None else StoredItem(record.item, record.version)

    def blocks(self, jobs: Sequence[Job]) -> dict[str, ReservationBlock]:
        return {block: ReservationBlock(block, self.block(block)) for block in {block_of(job.id) for job in jobs}}

    def held(self) -> dict[str, GrantedStock]:
        found: dict[str, GrantedStock] = {}
        for (table, *_), record in self._found.items():
            if table == RESERVATIONS.name:
                found |= read_grants(record.item)
        return found

    def counts(self) -> Counts:
        counts: Counts = {}
        for (table, *key), record in self._found.items():
            if table == STOCK.name:
                counts.setdefault(key[1], {})[key[0]] = int(record.item["count"])
        return counts
