"""The state of the persistence server that its actions work with, and the steps that they plan in a turn."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, structs

from services.persistence.audit import Audit
from services.persistence.observers import Observers
from shared.domain.errors import ComandaError
from shared.domain.orders import iso_time
from shared.domain.records import Put, Record, Table, Transaction, Written
from shared.domain.tables import Tables
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import Members, Request
from shared.server.common import CommonServer
from shared.stores.ports.records import Ask, Position, Query, RecordStore
from shared.wire.cursors import Cursors

Limit = Annotated[int, Meta(ge=1, le=1000)]
Outcome = list[Written] | ComandaError
"""What a transaction has done, or what refused it."""


class RecordsRequest(Request, frozen=True, kw_only=True):
    """A request of the persistence server; `uuid` says who asks."""

    uuid: Annotated[str, Meta(max_length=128)] = "unknown"


class Step(NamedTuple):
    """A request's part in a turn. `answer` gets the outcomes of its transactions and the records it asked for.

    It raises the ComandaError that is to be answered.
    """

    transactions: Sequence[Transaction]
    asks: Sequence[Ask]
    answer: Callable[[list[Outcome], list[Record | None]], Members]
    is_page: bool = False
    """Whether fewer records may be found than were asked for, where they are large."""


def take_written(outcomes: list[Outcome]) -> list[Written]:
    """Returns what the one transaction of a step has done. Raises what refused it."""
    (outcome,) = outcomes
    if isinstance(outcome, ComandaError):
        raise outcome
    return outcome


class PersistenceServer(CommonServer):
    """What the handlers work with. `begin_turn` before steps are planned."""

    def __init__(
        self,
        store: RecordStore,
        tables: Tables,
        data: Table,
        log: Table,
        audit: Audit,
        observers: Observers,
        cursors: Cursors,
        metrics: ServerMetrics,
    ) -> None:
        super().__init__(metrics)
        self.store = store
        self.tables = tables
        self.data = data
        self.log = log
        self.audit = audit
        self.observers = observers
        self._cursors = cursors
        self.now = ""
        """The time of the turn: all that is planned in it happens at one time."""
        self.trouble: str | None = None
        """Why the store refused the last requests; None when it took them."""

    def describe_health(self) -> Members:
        """See `CommonServer.describe_health`."""
        return {"status": "ok" if self.trouble is None else "degraded", "store": self.trouble or "ok"}

    def begin_turn(self) -> None:
        """Sets the time of the turn."""
        self.now = iso_time(time.time_ns() // 1000)

    def make_entry(
        self, request: RecordsRequest, session: str, details: Mapping[str, Any], record: str | None = None
    ) -> Put:
        """Returns the entry of the audit log about a request."""
        action = str(request.__struct_config__.tag)
        return self.audit.entry(action, details, record=record, who=request.uuid, session=session, now=self.now)

    async def read_page(self, query: Query, cursor: str | None, show: Callable[[Record], Members]) -> Members:
        """Returns the members of a page that a sealed cursor continues. Raises InvalidParams and StoreError."""
        scope = structs.asdict(query) | {"limit": None}
        if cursor is not None:
            query = structs.replace(query, after=Position(*self._cursors.open(scope, cursor)))
        page = await self.store.query(query)
        following = None if page.after is None else self._cursors.seal(scope, list(page.after))
        return {"items": [show(record) for record in page.records], "cursor": following}
