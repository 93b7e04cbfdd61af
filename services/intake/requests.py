"""What can be asked of the intake besides placing an order: actions as JSON, and verbs as their short form."""

import datetime
import re
import shlex
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shared.domain.errors import InvalidParams, UnknownAction
from shared.domain.orders import DeadlineMs, RequestId, Trace
from shared.domain.states import State
from shared.wire.strict_json import convert_document, did_you_mean, shorten_text, translate_error

OrderId = Annotated[str, Meta(min_length=1, max_length=64)]
AwareTime = Annotated[datetime.datetime, Meta(tz=True)]


class Action(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", kw_only=True):
    """Anything asked by name; `request_id` comes back in the answer."""

    request_id: RequestId | None = None
    trace: Trace | None = None
    deadline_ms: DeadlineMs | None = None


class Help(Action, frozen=True, tag="help"):
    """How to use this port."""

    topic: str | None = None


class Ping(Action, frozen=True, tag="ping"):
    """Is anybody there?"""


class Health(Action, frozen=True, tag="health"):
    """How the server and its workers are."""


class Status(Action, frozen=True, tag="status"):
    """One order."""

    id: OrderId


class Explain(Action, frozen=True, tag="explain"):
    """What happened to one order, and when."""

    id: OrderId


class Stats(Action, frozen=True, tag="stats"):
    """Numbers."""


class ListOrders(Action, frozen=True, tag="list"):
    """A page of orders, newest first."""

    estado: State | None = None
    cliente: str | None = None
    desde: AwareTime | None = None
    hasta: AwareTime | None = None
    limite: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


class Watch(Action, frozen=True, tag="watch"):
    """Every change of all orders, or of one."""

    id: OrderId | None = None


class Unwatch(Action, frozen=True, tag="unwatch"):
    """No more events."""


class Cancel(Action, frozen=True, tag="cancel"):
    """Takes back an order that no worker has begun, or discards one that has failed."""

    id: OrderId


class Retry(Action, frozen=True, tag="retry"):
    """One more attempt for an order that failed."""

    id: OrderId


class Metrics(Action, frozen=True, tag="metrics"):
    """Counters and gauges, in the text format of Prometheus."""


class Quit(Action, frozen=True, tag="quit"):
    """Ends the connection."""


AnyAction = (
    Help | Ping | Health | Metrics | Status | Explain | Stats | ListOrders | Watch | Unwatch | Cancel | Retry | Quit
)

ACTIONS: dict[str, type[Action]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (Help, Ping, Health, Metrics, Status, Explain, Stats, ListOrders, Watch, Unwatch, Cancel, Retry, Quit)
}
"""Every action by its name; verbs have the same names."""

_SYNONYMS = {"exit": "quit", "salir": "quit"}
_ARGUMENT = {"help": "topic", "status": "id", "explain": "id", "watch": "id", "cancel": "id", "retry": "id"}
_WORD = re.compile(r"[A-Za-z_]+")


def decode_action(document: bytes, name: object) -> Action:
    """The action that a document of strict JSON asks for; `name` is its member `action`.

    Raises UnknownAction or InvalidParams.
    """
    if not isinstance(name, str):
        raise InvalidParams("action must be text", field="action", example={"action": "ping"})
    kind = ACTIONS.get(name)
    if kind is None:
        raise _unknown("action", name)
    example = {"action": name, _ARGUMENT[name]: "…"} if name in _ARGUMENT else None
    action: Action = convert_document(document, kind, example=example)
    return action


def parse_verb(text: str) -> Action:
    """The action that a line asks for. Raises UnknownAction or InvalidParams."""
    word, _, rest = text.partition(" ")
    name = _SYNONYMS.get(word.lower(), word.lower())
    kind = ACTIONS.get(name)
    if kind is None:
        raise _unknown("verb", word)
    members: dict[str, Any] = {"action": name}
    if name == "list":
        members |= _list_members(rest)
    elif argument := rest.strip():
        if name not in _ARGUMENT:
            raise InvalidParams(f"{name} takes no argument", hint=f"send just: {name}")
        members[_ARGUMENT[name]] = argument
    try:
        return msgspec.convert(members, kind, strict=False)
    except msgspec.ValidationError as error:
        raise translate_error(str(error), kind) from None


def _list_members(rest: str) -> dict[str, Any]:
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise InvalidParams(f"the line cannot be read: {str(error).lower()}", hint='write cliente="Ana Paz"') from None
    members: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "estado", word
        members[name.lower()] = value.lower().replace("_", " ") if name.lower() == "estado" else value
    return members


def _unknown(what: str, name: str) -> UnknownAction:
    shown = shorten_text(name)
    known = [*ACTIONS, *_SYNONYMS]
    hint = did_you_mean(shown, known) if _WORD.fullmatch(shown) else None
    return UnknownAction(
        f"there is no {what} {shown!r}", hint=hint or f"known: {', '.join(ACTIONS)}; an order is a JSON object"
    )
