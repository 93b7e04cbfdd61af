"""The feed of orders of an intake on this machine, read from its files.

New orders are read from their table, which is append-only and serves as its own outbox. Later changes are read from
the outbox in the progress file. New orders are read first, so that no change precedes the acceptance of its order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from shared.domain.ids import OrderRange, id_prefix
from shared.domain.quantiles import bucket_number
from shared.domain.states import ACCEPT, FINISH, State, Transition
from shared.stores.orders import RUNNING, STATES
from shared.stores.outbox import TRANSITIONS_BY_MEMBER, Span, decode_entry
from shared.stores.ports.feeds import OrderEvents, OrderStateChange
from shared.stores.sqlite.database import Connection, StoreBusy, translate_errors
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_lister import connect_order_files
from shared.stores.sqlite.order_positions import OrderPosition

_SCHEMAS = (("main", 1), ("progress", 5))
_NODE = "SELECT value FROM main.meta WHERE name = 'node'"
_ACCEPTED = "SELECT sequence, received, document FROM orders WHERE sequence > ? ORDER BY sequence LIMIT ?"
_MOVES = "SELECT number, at, last, moves FROM progress.moves WHERE number > ? ORDER BY number LIMIT ?"
_ORDERS = "SELECT sequence, received, document FROM orders WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
_DONE = """
SELECT o.sequence, o.received, p.started, p.finished, o.document
FROM orders o JOIN progress.progress p ON p.sequence = o.sequence
WHERE o.sequence BETWEEN ? AND ? ORDER BY o.sequence"""
_NEWEST = """
SELECT max((SELECT coalesce(max(sequence), 0) FROM orders),
        (SELECT coalesce(max(value), 0) FROM main.meta WHERE name = 'floor')),
    (SELECT coalesce(max(number), 0) FROM progress.moves)"""
_ERA = "SELECT coalesce(max(value), 0) FROM progress.meta WHERE name = 'era'"
_TRIMMED = "SELECT coalesce(max(value), 0) FROM progress.meta WHERE name = 'trimmed'"
_RUNNING = f"""
WITH mark AS (SELECT coalesce(max(value), 0) AS settled FROM progress.meta WHERE name = 'settled')
SELECT (SELECT count(*) FROM progress.progress WHERE state = {RUNNING} AND sequence > (SELECT settled FROM mark))
    + (SELECT count(*) FROM progress.stragglers s CROSS JOIN progress.progress p ON p.sequence = s.sequence
        WHERE s.sequence <= (SELECT settled FROM mark) AND p.state = {RUNNING})"""
_LAST = """
SELECT max((SELECT coalesce(max(sequence), 0) FROM orders),
        (SELECT coalesce(max(value), 0) FROM main.meta WHERE name = 'floor')),
    (SELECT coalesce(max(value), 0) FROM main.meta WHERE name = 'missing')"""
_MOVES_AT_ONCE = 200
# Limits of the documents in memory: rows per fetch, and the total size of new orders.
_PORTION = 32
_ACCEPTED_BYTES = 4 * 2**20


class _ProductLine(Struct, rename={"name": "producto", "quantity": "cantidad"}):
    """The members of a product that are counted."""

    name: str
    quantity: int = 1


class _OrderSummary(Struct, rename={"customer": "cliente", "items": "productos"}):
    """The members of an order that are counted."""

    customer: str
    items: list[str | _ProductLine]


class _PlainOrder(Struct, rename={"customer": "cliente", "items": "productos"}):
    """An order whose products are only names, as in most orders."""

    customer: str
    items: list[str]


class _OrderCustomer(Struct, rename={"customer": "cliente"}):
    """The customer of an order."""

    customer: str


class _OrderTrace(Struct):
    """The trace of an order."""

    trace: str = ""


_briefs = msgspec.json.Decoder(_OrderSummary).decode_lines
_plains = msgspec.json.Decoder(_PlainOrder).decode_lines
_served = msgspec.json.Decoder(_OrderTrace).decode
_whos = msgspec.json.Decoder(_OrderCustomer).decode_lines


class SqliteOrderFeed:
    """Implements `OrderFeed`. The files are read-only and need not exist yet."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._connection: Connection | None = None
        self._seen: tuple[int, ...] | None = None

    async def read_events(self, after: str | None, *, limit: int) -> OrderEvents | None:
        """See `OrderFeed.read_events`. Blocks, for some microseconds an event."""
        connection = self._open_connection()
        if connection is None:
            return None
        with translate_errors(self._files.orders):
            versions = tuple(
                connection.execute(f"PRAGMA {schema}.data_version").fetchone()[0] for schema, _ in _SCHEMAS
            )
            if after is not None and versions == self._seen:
                return OrderEvents([], after)
            place, restarted = self._find_start(connection, after)
            if place.move < connection.execute(_TRIMMED).fetchone()[0]:
                return self._from_totals(connection, place)
            accepted = _read_accepted(connection, place.order, limit)
            events = list(_acceptance_events(accepted, place.node))
            newest = accepted[-1][0] if accepted else place.order
            moved, events_of_moves = self._read_entries(connection, place, newest, limit)
        if not accepted and moved == place.move:
            self._seen = versions
        following = place._replace(order=newest, move=moved)
        return OrderEvents(events + events_of_moves, str(following), restarted)

    def _open_connection(self) -> Connection | None:
        if self._connection is None and self._files.orders.exists() and self._files.progress.exists():
            connection = None
            try:
                # The event loop of the service stands still meanwhile.
                connection = connect_order_files(self._files, wait_seconds=0)
                with translate_errors(self._files.orders):
                    if _is_complete(connection):
                        self._connection, connection = connection, None
            except StoreBusy:
                # The intake is still creating the file.
                pass
            finally:
                if connection is not None:
                    connection.close()
        return self._connection

    def _find_start(self, connection: Connection, after: str | None) -> tuple[OrderPosition, bool]:
        """Returns the position to read from, and whether the feed restarts from the beginning."""
        row = connection.execute(_NODE).fetchone()
        era = connection.execute(_ERA).fetchone()[0]
        beginning = OrderPosition(row[0], era=era)
        if after is None:
            return beginning, False
        place = OrderPosition.parse(after)
        newest = connection.execute(_NEWEST).fetchone()
        known = (place.node, place.era) == (beginning.node, beginning.era)
        if not known or place.order > newest[0] or place.move > newest[1]:
            return beginning, True
        return place, False

    def _from_totals(self, connection: Connection, place: OrderPosition) -> OrderEvents:
        """Restarts from the totals if unread entries of the outbox were deleted.

        Progress is read first, so the orders, read afterwards, include all orders with progress.
        """
        connection.execute("BEGIN")
        try:
            finals = dict(connection.execute("SELECT state, orders FROM progress.totals").fetchall())
            running = connection.execute(_RUNNING).fetchone()[0]
            move = connection.execute("SELECT coalesce(max(number), 0) FROM progress.moves").fetchone()[0]
            last, missing = connection.execute(_LAST).fetchone()
        finally:
            connection.execute("COMMIT")
        totals: dict[State | None, int] = {STATES[state]: orders for state, orders in finals.items()}
        accepted = last - missing
        totals |= {None: accepted, State.RUNNING: running, State.QUEUED: accepted - running - sum(finals.values())}
        position = place._replace(order=last, move=move)
        return OrderEvents([], str(position), restarted=True, totals=totals)

    def _read_entries(
        self, connection: Connection, place: OrderPosition, newest: int, limit: int
    ) -> tuple[int, list[OrderStateChange]]:
        """Returns the changes of orders up to `newest`, and the last entry that was read."""
        events: list[OrderStateChange] = []
        reached, orders = place.move, 0
        for number, at, last, text in connection.execute(_MOVES, (place.move, _MOVES_AT_ONCE)).fetchall():
            if last > newest or orders >= limit:
                break
            entry = decode_entry(text)
            read = _EntryReader(connection, place.node, at)
            for member, transition in TRANSITIONS_BY_MEMBER.items():
                if group := getattr(entry, member):
                    events += read.read_changes(transition, group)
            orders += read.orders
            reached = number
        # An entry may name orders that are missing: there is no event for those.
        return reached, [event for event in events if event.orders]

    def close(self) -> None:
        """See `OrderFeed.close`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_complete(connection: Connection) -> bool:
    """Whether the files have everything that an intake creates before it accepts the first order."""
    for schema, needed in _SCHEMAS:
        if connection.execute(f"PRAGMA {schema}.user_version").fetchone()[0] < needed:
            return False
    return connection.execute(_NODE).fetchone() is not None


class _EntryReader:
    """Reads the orders of one outbox entry."""

    def __init__(self, connection: Connection, node: int, at: int) -> None:
        self._connection = connection
        self._node = node
        self._at = at
        self.orders = 0
        """Number of orders read."""

    def read_changes(self, transition: Transition, group: Sequence[Sequence[Any]]) -> Iterable[OrderStateChange]:
        """Yields the changes of one member of the entry, those with the same detail together."""
        if transition is FINISH:
            yield self._read_completion(group)
            return
        for detail, spans in groupby(group, lambda span: span[2] if len(span) > 2 else None):
            rows, customers, traces = self._read_orders(_ORDERS, [(span[0], span[1]) for span in spans])
            yield OrderStateChange(transition, self._at, _group_ranges(rows, self._node), customers, detail, traces)

    def _read_completion(self, spans: Sequence[Sequence[Any]]) -> OrderStateChange:
        rows, customers, traces = self._read_orders(_DONE, [(span[0], span[1]) for span in spans])
        # Finished orders do not change: their times are those of the last attempt.
        waiting = Counter(bucket_number(max(started - received, 0)) for _, received, started, _ in rows)
        processing = Counter(bucket_number(max(finished - started, 0)) for _, _, started, finished in rows)
        return OrderStateChange(
            FINISH,
            self._at,
            _group_ranges(rows, self._node),
            customers,
            traces=traces,
            waiting=waiting,
            processing=processing,
        )

    def _read_orders(self, statement: str, spans: Sequence[Span]) -> tuple[list[Any], list[str], dict[str, str]]:
        """Returns the rows of orders without documents, their customers, and their traces by id."""
        rows: list[Any] = []
        customers: list[str] = []
        traces: dict[str, str] = {}
        for portion in self._read_chunks(statement, spans):
            customers += _read_customers(portion)
            traces |= _read_traces(portion, self._node)
            rows += [row[:-1] for row in portion]
        return rows, customers, traces

    def _read_chunks(self, statement: str, spans: Sequence[Span]) -> Iterable[list[Any]]:
        orders = sum(count for _, count in spans)
        self.orders += orders
        spans = sorted(spans)
        first, stop = spans[0][0], spans[-1][0] + spans[-1][1]
        if stop - first <= 2 * orders + 8:
            # Reading the rows in between costs less than a query per span.
            wanted = {sequence for begin, count in spans for sequence in range(begin, begin + count)}
            for portion in _fetch_chunks(self._connection.execute(statement, (first, stop - 1))):
                yield [row for row in portion if row[0] in wanted]
            return
        for begin, count in spans:
            yield from _fetch_chunks(self._connection.execute(statement, (begin, begin + count - 1)))


def _fetch_chunks(rows: Any) -> Iterable[list[Any]]:
    while portion := rows.fetchmany(_PORTION):
        yield portion


def _read_accepted(connection: Connection, after: int, limit: int) -> list[Any]:
    """Reads new orders, at most `limit` of them and until their documents reach `_ACCEPTED_BYTES`."""
    rows: list[Any] = []
    size = 0
    for portion in _fetch_chunks(connection.execute(_ACCEPTED, (after, limit))):
        rows += portion
        size += sum(len(row[2]) for row in portion)
        if size >= _ACCEPTED_BYTES:
            break
    return rows


def _acceptance_events(rows: Sequence[Any], node: int) -> Iterable[OrderStateChange]:
    """Yields the acceptance events of new orders, one for each time of receipt."""
    if not rows:
        return
    documents = "\n".join([document for _, _, document in rows])
    try:
        briefs: Sequence[_PlainOrder | _OrderSummary] = _plains(documents)
    except msgspec.ValidationError:
        briefs = _briefs(documents)
    begin = 0
    for received, group in groupby(rows, lambda row: row[1]):
        together = list(group)
        own = briefs[begin : begin + len(together)]
        begin += len(together)
        yield OrderStateChange(
            ACCEPT,
            received,
            _group_ranges(together, node),
            [brief.customer for brief in own],
            traces=_read_traces(together, node),
            products=_count_products(own),
        )


def _read_traces(rows: Sequence[Any], node: int) -> dict[str, str]:
    """Returns the traces of orders by id; decodes only documents that contain a trace."""
    found: dict[str, str] = {}
    for row in rows:
        document = row[-1]
        if '"trace":"' in document and (trace := _served(document).trace):
            found[f"{id_prefix(row[1], node)}{row[0]:012x}"] = trace
    return found


def _count_products(briefs: Sequence[_PlainOrder | _OrderSummary]) -> dict[str, tuple[int, int]]:
    """Returns the number of orders and of units by product."""
    standing: list[str] = []
    named: list[str] = []
    more: Counter[str] = Counter()
    for brief in briefs:
        if isinstance(brief, _PlainOrder):
            standing += set(brief.items)
            named += brief.items
            continue
        lines = [_ProductLine(item) if isinstance(item, str) else item for item in brief.items]
        standing += {line.name for line in lines}
        for line in lines:
            more[line.name] += line.quantity
    more.update(named)
    return {name: (count, more[name]) for name, count in Counter(standing).items()}


def _read_customers(rows: Sequence[Any]) -> list[str]:
    return [who.customer for who in _whos("\n".join([row[-1] for row in rows]))] if rows else []


def _group_ranges(rows: Sequence[Any], node: int) -> list[OrderRange]:
    ranges: list[OrderRange] = []
    first = count = received = 0
    for sequence, at, *_ in rows:
        if count and sequence == first + count and at == received:
            count += 1
            continue
        if count:
            ranges.append(OrderRange(received, node, first, count))
        first, count, received = sequence, 1, at
    if count:
        ranges.append(OrderRange(received, node, first, count))
    return ranges
