"""What the clients have written down, held against what the store's files hold."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.domain.ids import id_prefix
from shared.domain.orders import OrderRequest
from shared.stores.orders import CANCELLED, DONE, FAILED
from shared.stores.sqlite.database import Connection, connect
from shared.stores.sqlite.files import StoreFiles
from tests.chaos.orders import meaning

_NUMBER = "customer-"


class History:
    """The outcomes of a run's orders, by number."""

    def __init__(self, logs: Iterable[Path], *, doubtful: str | None = None) -> None:
        self._doubtful = doubtful
        """The error after which an order may be stored all the same."""
        self.sent: Counter[int] = Counter()
        self.ok: dict[int, set[str]] = defaultdict(set)
        """The ids under which an order was acknowledged; one that is sent again must keep its id."""
        self.acknowledged_at: dict[str, float] = {}
        """When an id was first acknowledged, in seconds since the epoch."""
        self._failures: Counter[int] = Counter()
        for log in logs:
            for line in log.read_text().splitlines():
                self._take(line.split())

    def _take(self, words: Sequence[str]) -> None:
        match words:
            case ["send", number]:
                self.sent[int(number)] += 1
            case ["ok", number, order_id, at]:
                self.ok[int(number)].add(order_id)
                self.acknowledged_at.setdefault(order_id, float(at))
            case ["failed", number, error] if error != self._doubtful:
                self._failures[int(number)] += 1

    @property
    def failed(self) -> set[int]:
        """Orders that were refused each time they were sent: they must not be stored."""
        return {number for number, times in self._failures.items() if times == self.sent[number]}

    @property
    def unknown(self) -> set[int]:
        """Orders without a clear outcome: they may be stored once, or not at all."""
        return set(self.sent) - set(self.ok) - self.failed


class Findings(msgspec.Struct):
    """What is wrong, and how long orders took; empty lists are good."""

    acknowledged: int
    unknown: int
    lost: list[int]
    """Acknowledged and not stored."""
    doubled: list[int]
    """Stored more than once, or acknowledged under more than one id."""
    changed: list[int]
    """Stored, but not as they were sent."""
    surplus: list[int]
    """Stored although they were refused."""
    unfinished: list[int]
    """Stored and not `listo`."""
    faults: list[str]
    """What else does not add up."""
    finished_at: dict[str, float]
    """When an id was finished, in seconds since the epoch."""

    @property
    def passed(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.changed or self.surplus or self.unfinished or self.faults)

    def __str__(self) -> str:
        wrong = {name: getattr(self, name) for name in ("lost", "doubled", "changed", "surplus", "unfinished")}
        told = [f"{len(found)} {name}, such as {found[:3]}" for name, found in wrong.items() if found]
        return "; ".join([*told, *self.faults]) or "nothing is wrong"


class Stored(NamedTuple):
    """An order as a store has it."""

    id: str
    document: str
    state: int | None
    finished: int | None
    """In microseconds since the epoch."""


def examine(history: History, orders_file: Path) -> Findings:
    """Holds a history against the files of a store that no process has open any more."""
    files = StoreFiles(orders_file)
    findings = no_findings(history)
    connection = connect(files.orders)
    connection.execute("ATTACH DATABASE ? AS progress", (str(files.progress),))
    try:
        for database in ("main", "progress"):
            answers = connection.execute(f"PRAGMA {database}.integrity_check").fetchall()
            if answers != [("ok",)]:
                findings.faults.append(f"integrity check of {database}: {answers[0][0]}")
        examine_orders(stored_orders(connection), history, findings)
        findings.faults += totals_that_differ(connection)
    finally:
        connection.close()
    return findings


def no_findings(history: History) -> Findings:
    """Findings of which nothing has been examined yet."""
    return Findings(len(history.ok), len(history.unknown), [], [], [], [], [], [], {})


def stored_orders(connection: Connection) -> Iterator[Stored]:
    """Every order of a store, read from its files."""
    node = connection.execute("SELECT value FROM main.meta WHERE name = 'node'").fetchone()[0]
    rows = connection.execute(
        "SELECT o.sequence, o.received, o.document, p.state, p.finished FROM orders o "
        "LEFT JOIN progress.progress p ON p.sequence = o.sequence"
    )
    for sequence, received, document, state, finished in rows:
        yield Stored(f"{id_prefix(received, node)}{sequence:012x}", document, state, finished)


def examine_orders(stored: Iterable[Stored], history: History, findings: Findings) -> None:
    """Holds a history against every order that is stored."""
    decode = msgspec.json.Decoder(OrderRequest).decode
    failed, times = history.failed, Counter[int]()
    for order_id, document, state, finished in stored:
        order = decode(document)
        number = int(order.customer.removeprefix(_NUMBER))
        times[number] += 1
        if number in failed or number not in history.sent:
            findings.surplus.append(number)
        if number in history.ok and order_id not in history.ok[number]:
            findings.doubled.append(number)
        if msgspec.structs.replace(order, trace=msgspec.UNSET) != meaning(number):
            findings.changed.append(number)
        if state != DONE:
            findings.unfinished.append(number)
        elif finished is not None:
            findings.finished_at[order_id] = finished / 1e6
    findings.lost += [number for number in history.ok if not times[number]]
    findings.doubled += [number for number, often in times.items() if often > 1]
    findings.doubled += [number for number, ids in history.ok.items() if len(ids) > 1]


def totals_that_differ(connection: Connection) -> list[str]:
    """The totals are kept by each transaction that ends an order: one that ended twice shows here."""
    counted = dict(connection.execute("SELECT state, count(*) FROM progress.progress GROUP BY state").fetchall())
    kept = dict(connection.execute("SELECT state, orders FROM progress.totals").fetchall())
    return [
        f"{kept.get(state, 0)} orders counted in state {state}, {counted.get(state, 0)} there"
        for state in (DONE, FAILED, CANCELLED)
        if kept.get(state, 0) != counted.get(state, 0)
    ]
