"""Counts and positions in the files of a backup, and their consistency."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clients.tools.backup.manifest import Facts
from shared.domain.states import State
from shared.stores.orders import CANCELLED, DONE, FAILED, STATES
from shared.stores.sqlite.database import Connection, open_copy, translate_errors
from shared.stores.sqlite.order_positions import OrderPosition

_NODE = "SELECT coalesce((SELECT value FROM meta WHERE name = 'node'), 0)"
_LAST_ORDER = """
SELECT max((SELECT coalesce(max(sequence), 0) FROM orders),
    (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'floor'))"""
_LAST_MOVE = "SELECT coalesce(max(number), 0) FROM moves"
_LAST_CHANGE = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)"
_LAST_TOUCHED = "SELECT coalesce(max(sequence), 0) FROM progress"
_LAST_MOVED = "SELECT coalesce(max(last), 0) FROM moves"
_HAS_OUTBOX = "SELECT count(*) FROM sqlite_master WHERE name = 'moves'"
_EVENTS = "SELECT coalesce((SELECT value FROM counts WHERE name = 'events'), 1) - 1"
_POSITION = "SELECT value FROM meta WHERE name = ?"
_FINAL = (DONE, FAILED, CANCELLED)


def gather_facts(files: Mapping[str, Path]) -> Facts:
    """Returns the counts and positions in `files`, which are keyed by their names in a backup. Raises StoreError."""
    facts = Facts({}, {})
    with _open_files(files) as of:
        if (orders := of.get("orders.db")) is not None:
            facts.counts["orders"] = _read_number(orders, "SELECT count(*) FROM orders")
            facts.positions["node"] = str(_read_number(orders, _NODE))
            facts.positions["orders"] = str(_read_number(orders, _LAST_ORDER))
        if (progress := of.get("orders-progress.db")) is not None:
            for state, count in progress.execute("SELECT state, orders FROM totals ORDER BY state").fetchall():
                facts.counts[State(STATES[state]).value] = count
            if _read_number(progress, _HAS_OUTBOX):
                facts.positions["outbox"] = str(_read_number(progress, _LAST_MOVE))
        if (records := of.get("records.db")) is not None:
            facts.counts["records"] = _read_number(records, "SELECT count(*) FROM items")
            facts.positions["changes"] = str(_read_number(records, _LAST_CHANGE))
        if (distributed := of.get("distributed.db")) is not None:
            facts.counts["events"] = _read_number(distributed, _EVENTS)
            for source in ("orders", "records"):
                if (row := distributed.execute(_POSITION, (source,)).fetchone()) is not None:
                    facts.positions[f"distributed.{source}"] = row[0]
    return facts


def find_inconsistencies(files: Mapping[str, Path], facts: Facts) -> list[str]:
    """Returns signs that files are damaged or of different instants. Raises StoreError."""
    faults: list[str] = []
    with _open_files(files) as of:
        for name, connection in of.items():
            for (found,) in connection.execute("PRAGMA quick_check(3)").fetchall():
                if found != "ok":
                    faults.append(f"{name} is damaged: {found}")
        last = int(facts.positions.get("orders", 0))
        if (progress := of.get("orders-progress.db")) is not None:
            touched = _read_number(progress, _LAST_TOUCHED)
            if "outbox" in facts.positions:
                touched = max(touched, _read_number(progress, _LAST_MOVED))
            if touched > last:
                faults.append(f"orders-progress.db knows order {touched}, and the last one of orders.db is {last}")
    return faults + _find_followers_ahead(facts)


def _find_followers_ahead(facts: Facts) -> list[str]:
    faults: list[str] = []
    positions = facts.positions
    if (followed := positions.get("distributed.orders")) is not None:
        position = OrderPosition.parse(followed)
        if str(position.node) != positions.get("node"):
            faults.append("distributed.db followed the orders of another store")
        elif position.order > int(positions.get("orders", 0)) or position.move > int(positions.get("outbox", 0)):
            faults.append(f"distributed.db has read orders up to {followed}, which are not there")
    if (followed := positions.get("distributed.records")) is not None and int(followed) > int(
        positions.get("changes", 0)
    ):
        faults.append(f"distributed.db has read changes of records up to {followed}, which are not there")
    return faults


@contextlib.contextmanager
def _open_files(files: Mapping[str, Path]) -> Iterator[dict[str, Connection]]:
    with contextlib.ExitStack() as stack:
        found: dict[str, Connection] = {}
        for name, path in files.items():
            stack.enter_context(translate_errors(path))
            found[name] = stack.enter_context(contextlib.closing(open_copy(path)))
        yield found


def _read_number(connection: Connection, statement: str) -> int:
    row: Any = connection.execute(statement).fetchone()
    return int(row[0])
