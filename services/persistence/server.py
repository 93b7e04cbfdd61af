"""The context of the actions of the persistence server, and the steps that they plan in a turn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, structs

from services.persistence.audit import Audit
from services.persistence.observers import RecordObservers
from shared.domain.errors import ComandaError
from shared.domain.records import Put, Record, Table, Transaction, Written
from shared.domain.tables import Tables
from shared.runtime.clock import iso_now
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import Members, Request
from shared.server.common import CommonServer
from shared.stores.ports.records import ItemLookup, ItemPosition, RecordQuery, RecordStore
from shared.wire.cursors import Cursors

Limit = Annotated[int, Meta(ge=1, le=1000)]
Outcome = list[Written] | ComandaError
"""The result of a transaction, or its error."""


_UNKNOWN = "unknown"


class RecordsRequest(Request, frozen=True, kw_only=True, omit_defaults=True):
    """A request of the persistence server; `uuid` identifies the client."""

    uuid: Annotated[str, Meta(max_length=128)] = _UNKNOWN


class Step(NamedTuple):
    """The part of a request in a turn. `answer` gets the outcomes of its transactions and the records it reads.

    Transactions come first; a step whose records have no room in the turn goes on in a later one without them.

    It raises the ComandaError that is to be answered.
    """

    transactions: Sequence[Transaction]
    asks: Sequence[ItemLookup]
    answer: Callable[[list[Outcome], list[Record | None]], Members]
    is_page: bool = False
    """Whether the answer may have fewer records than requested if they are large."""


def take_written(outcomes: list[Outcome]) -> list[Written]:
    """Returns the result of the only transaction of a step. Raises its error."""
    (outcome,) = outcomes
    if isinstance(outcome, ComandaError):
        raise outcome
    return outcome


class PersistenceServer(CommonServer):
    """The context of the handlers. Call `begin_turn` before planning steps."""

    def __init__(
        self,
        store: RecordStore,
        tables: Tables,
        data: Table,
        log: Table,
        *,
        audit: Audit,
        observers: RecordObservers,
        cursors: Cursors,
        metrics: ServerMetrics,
        opens_private_tables: bool,
    ) -> None:
        super().__init__(metrics)
        self.store = store
        self.tables = tables
        self.data = data
        self.log = log
        self.audit = audit
        self.observers = observers
        self.opens_private_tables = opens_private_tables
        """Whether connections may use `shared.domain.tables.PRIVATE`: with a token, all of them have authenticated."""
        self._cursors = cursors
        self.now = ""
        """Time of the turn, shared by everything that is planned in it."""
        self.trouble: str | None = None
        """The store's last error; None after a successful commit."""

    def describe_health(self) -> Members:
        """See `CommonServer.describe_health`."""
        return {"status": "ok" if self.trouble is None else "degraded", "store": self.trouble or "ok"}

    def begin_turn(self) -> None:
        """Sets the time of the turn."""
        self.now = iso_now()

    def make_entry(
        self, request: RecordsRequest, session: str, details: Mapping[str, Any], record: str | None = None
    ) -> Put:
        """Returns the entry of the audit log about a request, under the client's `uuid` if it has sent one."""
        action = str(request.__struct_config__.tag)
        who = request.uuid
        if request.user is not None:
            if who == _UNKNOWN:
                who = request.user
            else:
                details = {**details, "user": request.user}
        return self.audit.append_entry(action, details, record=record, who=who, session=session, now=self.now)

    async def read_page(self, query: RecordQuery, cursor: str | None, show: Callable[[Record], Members]) -> Members:
        """Returns the members of a page that a sealed cursor continues. Raises InvalidParams and StoreError."""
        scope = structs.asdict(query) | {"limit": None}
        if cursor is not None:
            query = structs.replace(query, after=ItemPosition(*self._cursors.decode_cursor(scope, cursor)))
        page = await self.store.query(query)
        following = None if page.after is None else self._cursors.encode_cursor(scope, list(page.after))
        return {"items": [show(record) for record in page.records], "cursor": following}
