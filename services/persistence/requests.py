"""What can be asked of the persistence server: actions as JSON, and verbs as the short form of some."""

from typing import Annotated, get_args

import msgspec
from msgspec import Meta, Struct

from shared.domain.orders import DeadlineMs, RequestId, Trace
from shared.domain.records import MAX_ACTIONS, MAX_PARTITION_BYTES, Action, Condition, Tenant, Value
from shared.wire.catalogue import Catalogue
from shared.wire.strict import read_decimal

RecordId = Annotated[str, Meta(min_length=1, max_length=MAX_PARTITION_BYTES)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Whole = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Actions = Annotated[list[Action], Meta(min_length=1, max_length=MAX_ACTIONS)]


class Request(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", kw_only=True):
    """Anything asked by name; `request_id` comes back in the answer, `uuid` says who asks."""

    request_id: RequestId | None = None
    trace: Trace | None = None
    deadline_ms: DeadlineMs | None = None
    uuid: Annotated[str, Meta(max_length=128)] = "unknown"


class Help(Request, frozen=True, tag="help"):
    """How to use this port."""


class Ping(Request, frozen=True, tag="ping"):
    """Is anybody there?"""


class Health(Request, frozen=True, tag="health"):
    """How the server is."""


class Metrics(Request, frozen=True, tag="metrics"):
    """Counters and gauges, in the text format of Prometheus."""


class Quit(Request, frozen=True, tag="quit"):
    """Ends the connection."""


# Corporate data: every one of these is recorded in the audit log.


class Set(Request, frozen=True, tag="set"):
    """Stores a record."""

    id: RecordId
    data: dict[str, Value]
    version: int | None = None
    """The version that it has to have; 0 is none yet."""


class Get(Request, frozen=True, tag="get"):
    """One record."""

    id: RecordId


class Delete(Request, frozen=True, tag="delete"):
    """Removes a record."""

    id: RecordId
    version: int | None = None


class ListRecords(Request, frozen=True, tag="list"):
    """A page of records, in the order of their ids."""

    prefix: str | None = None
    limit: Limit = 50
    cursor: str | None = None


class History(Request, frozen=True, tag="history"):
    """What was done to a record, newest first."""

    id: RecordId
    limit: Limit = 50
    cursor: str | None = None


class ListLogs(Request, frozen=True, tag="list_logs"):
    """The audit log, newest first."""

    limit: Limit = 50
    cursor: str | None = None


class VerifyLog(Request, frozen=True, tag="verify_log"):
    """Proves the chains of the audit log, or names the first broken entry."""


class Watch(Request, frozen=True, tag="watch"):
    """Every change of the corporate data, or of one record; from a position of an earlier event on."""

    id: RecordId | None = None
    since: str | None = None


class Subscribe(Watch, frozen=True, tag="subscribe"):
    """`watch` under the name that the upper-case dialect asks for it by: the audit log has that one."""


class Unwatch(Request, frozen=True, tag="unwatch"):
    """No more events."""


# Scores.


class SaveScore(Request, frozen=True, tag="save_score"):
    """Counts a game of a user, and keeps the highest score."""

    user_id: Whole
    puntaje: Whole


# Records of other services.


class RecordRequest(Request, frozen=True, kw_only=True):
    """About the items of one tenant."""

    tenant: Tenant = "main"


class GetItem(RecordRequest, frozen=True, tag="get_item"):
    """One item."""

    table: str
    key: dict[str, Value]


class GetItems(RecordRequest, frozen=True, tag="get_items"):
    """Several items of a table, in the order of their keys."""

    table: str
    keys: Annotated[list[dict[str, Value]], Meta(min_length=1, max_length=1000)]
    cursor: str | None = None


class PutItem(RecordRequest, frozen=True, tag="put_item"):
    """Stores an item."""

    table: str
    item: dict[str, Value]
    when: Condition | None = None


class DeleteItem(RecordRequest, frozen=True, tag="delete_item"):
    """Removes an item."""

    table: str
    key: dict[str, Value]
    when: Condition | None = None


class UpdateItem(RecordRequest, frozen=True, tag="update_item"):
    """Changes members of an item."""

    table: str
    key: dict[str, Value]
    create: dict[str, Value] = {}
    set: dict[str, Value] = {}
    remove: list[str] = []
    add: dict[str, Value] = {}
    largest: dict[str, Value] = {}
    when: Condition | None = None


class Transact(RecordRequest, frozen=True, tag="transact"):
    """Actions on different items that take effect together or not at all."""

    actions: Actions


class Batch(RecordRequest, frozen=True, tag="batch"):
    """Actions that have nothing to do with each other, in one request."""

    actions: Actions


class QueryItems(RecordRequest, frozen=True, tag="query"):
    """A page of items of one partition of a table or an index."""

    table: str
    index: str | None = None
    partition: Value = None
    prefix: str | None = None
    low: Value = None
    high: Value = None
    descending: bool = False
    limit: Limit = 50
    cursor: str | None = None


class ListChanges(RecordRequest, frozen=True, tag="changes"):
    """Changes of all tables of a tenant behind a position; without one, the oldest that are kept."""

    after: str | None = None
    limit: Limit = 1000


AnyRequest = (
    Help
    | Ping
    | Health
    | Metrics
    | Quit
    | Set
    | Get
    | Delete
    | ListRecords
    | History
    | ListLogs
    | VerifyLog
    | Watch
    | Unwatch
    | SaveScore
    | GetItem
    | GetItems
    | PutItem
    | DeleteItem
    | UpdateItem
    | Transact
    | Batch
    | QueryItems
    | ListChanges
)

_VERBS: dict[str, str | None] = {
    "help": None,
    "ping": None,
    "health": None,
    "metrics": None,
    "get": "id",
    "delete": "id",
    "list": "prefix",
    "history": "id",
    "list_logs": None,
    "verify_log": None,
    "watch": "id",
    "unwatch": None,
    "quit": None,
}
_SYNONYMS = {"exit": "quit", "salir": "quit", "logs": "list_logs"}

CATALOGUE: Catalogue[Request] = Catalogue(get_args(AnyRequest), _VERBS, _SYNONYMS)
REQUESTS = CATALOGUE.kinds
"""Every request by its name."""

decoder: "msgspec.json.Decoder[AnyRequest]" = msgspec.json.Decoder(AnyRequest, float_hook=read_decimal)
