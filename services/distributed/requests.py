"""What can be asked of the distributed service: actions as JSON, and verbs as the short form of some."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shared.domain.orders import DeadlineMs, RequestId, Trace
from shared.wire.catalogue import Catalogue

UserId = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Message = Annotated[str, Meta(min_length=1, max_length=1000)]
Order = Literal["newest", "oldest"]
"""Which notification of a page comes first."""
NotificationId = Annotated[int, Meta(ge=1, le=2**62)]


class Request(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", kw_only=True):
    """Anything asked by name; `request_id` comes back in the answer."""

    request_id: RequestId | None = None
    trace: Trace | None = None
    deadline_ms: DeadlineMs | None = None


class Help(Request, frozen=True, tag="help"):
    """How to use this port."""


class Ping(Request, frozen=True, tag="ping"):
    """Is anybody there?"""


class Health(Request, frozen=True, tag="health"):
    """How the service is, and how far it has read."""


class Metrics(Request, frozen=True, tag="metrics"):
    """Counters and gauges, in the text format of Prometheus."""


class Quit(Request, frozen=True, tag="quit"):
    """Ends the connection."""


class GetUserStats(Request, frozen=True, tag="get_user_stats"):
    """One user's scores and rank."""

    user_id: UserId


class GetGlobalStats(Request, frozen=True, tag="get_global_stats"):
    """All users and all orders."""


class AddNotification(Request, frozen=True, tag="add_notification"):
    """Something that a user is to be told."""

    user_id: UserId
    message: Message
    type: Literal["info", "success", "warning", "error"] = "info"


class GetNotifications(Request, frozen=True, tag="get_notifications"):
    """A page of the last notifications: of a user, or of everybody.

    Programs that ask without a user expect the last ten, oldest first; so `limit` and `order` depend on it.
    """

    user_id: UserId | None = None
    unread: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    order: Order | None = None
    cursor: NotificationId | None = None


class MarkRead(Request, frozen=True, tag="mark_read"):
    """Marks some of a user's notifications as read, or all."""

    user_id: UserId
    ids: Annotated[list[NotificationId], Meta(min_length=1, max_length=1000)] | None = None


class Subscribe(Request, frozen=True, tag="subscribe"):
    """Events of some topics, or those of some names alone, from now on or from behind the event `since`."""

    topics: list[str] | str
    events: list[str] | None = None
    cliente: str | None = None
    user_id: UserId | None = None
    id: str | None = None
    since: Annotated[int, Meta(ge=0, le=2**62)] | None = None


class Unsubscribe(Request, frozen=True, tag="unsubscribe"):
    """No more events."""


CATALOGUE: Catalogue[Request] = Catalogue(
    (
        Help,
        Ping,
        Health,
        Metrics,
        Quit,
        GetUserStats,
        GetGlobalStats,
        AddNotification,
        GetNotifications,
        MarkRead,
        Subscribe,
        Unsubscribe,
    ),
    {
        "help": None,
        "ping": None,
        "health": None,
        "metrics": None,
        "get_user_stats": "user_id",
        "get_global_stats": None,
        "get_notifications": "user_id",
        "mark_read": "user_id",
        "subscribe": "topics",
        "unsubscribe": None,
        "quit": None,
    },
    {"exit": "quit", "salir": "quit", "stats": "get_global_stats", "notifications": "get_notifications"},
)
