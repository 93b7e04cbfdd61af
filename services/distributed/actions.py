"""The actions of the distributed service: each with its request, its verb, its help and its handler."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from services.distributed.events import EVENTS, TOPICS, PlainEvent
from services.distributed.observers import EventObservers, EventSelection
from services.distributed.read_model import ReadModel
from shared.domain.errors import InvalidParams
from shared.domain.scores import UserId
from shared.net.connection import Connection
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import ActionRegistry, Followed, Members, Request, Verb
from shared.server.common import CommonServer, Help, declare_common
from shared.wire.strict_json import did_you_mean, shorten_text

_PAGE = 50
_EVERYBODYS = 10
"""Default page sizes of one user's notifications and of all users' notifications."""
_SMALL_PAGE = 100

Message = Annotated[str, Meta(min_length=1, max_length=1000)]
Order = Literal["newest", "oldest"]
"""Order of the notifications on a page."""
NotificationId = Annotated[int, Meta(ge=1, le=2**62)]


class DistributedServer(CommonServer):
    """The context of the handlers."""

    def __init__(
        self, read_model: ReadModel, observers: EventObservers, metrics: ServerMetrics, relay: Callable[[], Members]
    ) -> None:
        super().__init__(metrics)
        self.read_model = read_model
        self.observers = observers
        self._relay = relay

    def describe_health(self) -> Members:
        """See `CommonServer.describe_health`."""
        relay = self._relay()
        gap = self.read_model.load_last_gap()
        return {
            "status": "ok" if relay.get("trouble") is None else "degraded",
            "relay": relay,
            "eventos": self.read_model.log.next - 1,
            "reparaciones": [] if gap is None else [{"cuando": gap, "motivos": ["record_changes_expired"]}],
        }


ACTIONS: ActionRegistry[DistributedServer] = ActionRegistry()


class GetGlobalStats(Request, frozen=True, tag="get_global_stats"):
    """Statistics of all users and all orders."""


@ACTIONS.batched(
    GetGlobalStats, verb=Verb(synonyms=("stats",)), usage=[("stats", "all users and all orders")], reads=True
)
def get_global_stats(server: DistributedServer, _: GetGlobalStats) -> Members:
    """Reads the ranking and the totals of all orders."""
    known = server.read_model
    return {
        "stats": known.read_part(
            lambda: {
                **known.ranking.describe_all(),
                "pedidos": known.orders.describe(),
                "compras": known.purchases.describe(),
            }
        )
    }


class GetUserStats(Request, frozen=True, tag="get_user_stats"):
    """Scores and rank of a user."""

    user_id: UserId


@ACTIONS.batched(
    GetUserStats, verb=Verb("user_id"), usage=[("get_user_stats USER", "one user's scores and rank")], reads=True
)
def get_user_stats(server: DistributedServer, request: GetUserStats) -> Members:
    """Reads a user's scores and rank."""
    known = server.read_model
    return {"stats": known.read_part(lambda: known.ranking.describe_user(request.user_id))}


class GetNotifications(Request, frozen=True, tag="get_notifications"):
    """A page of the newest notifications of a user, or of all users.

    Programs that ask without a user expect the last ten, oldest first; so `limit` and `order` depend on it.
    """

    user_id: UserId | None = None
    unread: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    order: Order | None = None
    cursor: NotificationId | None = None


@ACTIONS.batched(
    GetNotifications,
    verb=Verb("user_id", synonyms=("notifications",)),
    usage=[("notifications USER", "a user's last notifications; without USER everybody's")],
    reads=True,
    is_page=lambda request: (request.limit or 0) > _SMALL_PAGE,
)
def get_notifications(server: DistributedServer, request: GetNotifications) -> Members:
    """Reads a page of notifications. Raises InvalidParams."""
    user, everybody = request.user_id, request.user_id is None
    if everybody and request.unread:
        raise InvalidParams("unread is of one user's notifications", field="unread", hint="add a user_id")
    limit = request.limit or (_EVERYBODYS if everybody else _PAGE)
    order = request.order or ("oldest" if everybody else "newest")
    known = server.read_model
    notifications = known.notifications
    shown, following = known.read_part(
        lambda: notifications.load_page(user, unread=request.unread, limit=limit, before=request.cursor)
    )
    unread = None if user is None else known.read_part(lambda: notifications.count_unread(user))
    if order == "oldest":
        shown.reverse()
    return {"notifications": shown, "no_leidas": unread, "cursor": following}


def _describe_player(_: DistributedServer, request: "MarkRead | AddNotification") -> Members | None:
    return None if request.user is None else {"player": request.user_id}


class MarkRead(Request, frozen=True, tag="mark_read"):
    """Mark notifications of a user as read: the named ones, or all."""

    user_id: UserId
    ids: Annotated[list[NotificationId], Meta(min_length=1, max_length=1000)] | None = None


@ACTIONS.batched(
    MarkRead,
    verb=Verb("user_id"),
    usage=[("mark_read USER", 'marks them as read; with "ids", some of them')],
    audited=_describe_player,
)
def mark_read(server: DistributedServer, request: MarkRead, _: list[PlainEvent]) -> Members:
    """Marks notifications as read, in the transaction of the turn."""
    return {"marcadas": server.read_model.notifications.mark_read(request.user_id, request.ids)}


class AddNotification(Request, frozen=True, tag="add_notification"):
    """A new notification for a user."""

    user_id: UserId
    message: Message
    type: Literal["info", "success", "warning", "error"] = "info"


@ACTIONS.batched(
    AddNotification,
    usage=[('{"action":"add_notification","user_id":1,"message":"...","type":"info"}', "")],
    audited=_describe_player,
)
def add_notification(server: DistributedServer, request: AddNotification, events: list[PlainEvent]) -> Members:
    """Adds a notification, in the transaction of the turn, and its event to `events`."""
    notifications = server.read_model.notifications
    number, event = notifications.add_notification(request.user_id, request.message, request.type)
    events.append(event)
    return {"id": number, "message": "Notification added"}


class Subscribe(Request, frozen=True, tag="subscribe"):
    """Events of topics, or only those of some names, from now on or after the event `since`."""

    topics: list[str] | str
    events: list[str] | None = None
    cliente: str | None = None
    user_id: UserId | None = None
    id: str | None = None
    since: Annotated[int, Meta(ge=0, le=2**62)] | None = None


@ACTIONS.immediate(
    Subscribe,
    verb=Verb("topics"),
    usage=[
        ("subscribe orders,scores", "events as they happen; unsubscribe ends it"),
        ("", 'with "since":N first those behind event N'),
        ("", 'with "cliente", "id" or "user_id" one\'s own alone'),
        ("", 'with "events":["order.failed"] those of these names alone'),
    ],
)
def subscribe(server: DistributedServer, request: Subscribe, connection: Connection) -> Followed:
    """Subscribes the connection; the answer goes out before the first event. Raises InvalidParams."""
    topics = request.topics if isinstance(request.topics, list) else request.topics.replace(",", " ").split()
    if not topics:
        raise InvalidParams("topics is empty", field="topics", hint=f"topics: {', '.join(TOPICS)}")
    for topic in topics:
        if topic not in TOPICS:
            hint = did_you_mean(shorten_text(topic), TOPICS) or f"topics: {', '.join(TOPICS)}"
            raise InvalidParams(f"there is no topic {shorten_text(topic)!r}", field="topics", hint=hint)
    events = None if request.events is None else frozenset(request.events)
    if events is not None:
        _check_events(events, topics)
    since = server.observers.parse_since(request.since)
    order = None if request.id is None else request.id.lower()
    choice = EventSelection(frozenset(topics), events, request.cliente, order, request.user_id)
    members = {"topics": sorted(choice.topics), "since": since}
    return Followed(members, lambda: server.observers.add(connection, choice, since))


class Unsubscribe(Request, frozen=True, tag="unsubscribe"):
    """End of a subscription."""


@ACTIONS.immediate(Unsubscribe, verb=Verb())
def unsubscribe(server: DistributedServer, _: Unsubscribe, connection: Connection) -> Members:
    """Ends the subscription of the connection."""
    server.observers.remove(connection)
    return {"topics": []}


declare_common(
    ACTIONS,
    Request,
    Help(
        43,
        beginning=["stats", "subscribe orders,scores"],
        closing=['Each verb is an action, too: {"action":"get_user_stats","user_id":1}'],
    ),
)


def _check_events(events: frozenset[str], topics: Sequence[str]) -> None:
    """Raises InvalidParams for names that no event of the topics has."""
    known = [event for topic in dict.fromkeys(topics) for event in EVENTS[topic]]
    if not events:
        raise InvalidParams("events is empty", field="events", hint="leave it out for all events of the topics")
    for event in sorted(events.difference(known)):
        topic = next((name for name, names in EVENTS.items() if event in names), None)
        if topic is not None:
            raise InvalidParams(f"{event} is an event of {topic}", field="events", hint=f"add {topic} to topics")
        hint = did_you_mean(shorten_text(event), known) or f"events: {', '.join(known)}"
        raise InvalidParams(f"there is no event {shorten_text(event)!r}", field="events", hint=hint)
