"""The actions that every server has."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import defstruct

from shared import VERSION
from shared.domain.errors import InvalidParams
from shared.net.connection import Connection
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import ActionRegistry, Members, Request, Verb
from shared.wire.immediate_replies import help_answer
from shared.wire.replies import encode_json, encode_line


class CommonServer(ABC):
    """The interface of a server to the common actions; the handlers of its own actions get it as well."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self.metrics = metrics
        self._started = time.monotonic()

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the start, in tenths."""
        return round(time.monotonic() - self._started, 1)

    def check_reader(self, connection: Connection) -> None:  # noqa: B027
        """Raises Unauthorized if the connection may not read the server's numbers; by default all may."""

    @abstractmethod
    def describe_health(self) -> Members:
        """Returns the members of the answer to `health` that are the server's own: `status` and what explains it."""


class Help(NamedTuple):
    """The general help around the lines of the actions, and help on single topics."""

    column: int
    """Where explanations begin."""
    opening: Sequence[str] = ()
    closing: Sequence[str] = ()
    topics: Mapping[str, Callable[[], Members]] = {}
    beginning: Sequence[str] = ()
    """Requests to begin with, shown to whoever types the line `help`."""

    def encode(self, members: Members) -> bytes:
        """Returns the answer to the line `help`, which people read: lines of text."""
        if not members["success"]:
            return encode_line(members)
        lines = [*members["help"]]
        if "example" in members:
            # Over many lines, as it can be pasted.
            lines += [
                "For example:",
                *msgspec.json.format(encode_json(members["example"]), indent=2).decode().splitlines(),
            ]
        elif self.beginning:
            begin = "Type a verb, or paste a request as JSON on one line; Enter sends it. To begin:"
            lines = [begin, *(f"  {request}" for request in self.beginning), "Everything that there is:", *lines]
        return help_answer(lines).answer


def declare_common(actions: ActionRegistry[Any], base: type[Request], help_texts: Help) -> None:
    """Declares the actions that every server has, with requests that have the members of `base`."""
    topic = ("topic", str | None, None)
    has_topics = bool(help_texts.topics)

    @actions.immediate(
        _define_request("help", base, *([topic] if has_topics else [])),
        verb=Verb("topic" if has_topics else None, encode=help_texts.encode),
        example={"topic": "…"} if has_topics else None,
    )
    def show_help(_: CommonServer, request: Any, __: Connection) -> Members:
        if not has_topics or request.topic is None:
            lines = actions.help_lines(help_texts.column)
            return {"help": [*help_texts.opening, *lines, *help_texts.closing]}
        describe = help_texts.topics.get(request.topic.lower())
        if describe is None:
            known = ", or ".join(["help", *(f"help {name}" for name in list(help_texts.topics)[:1])])
            raise InvalidParams(f"there is no help on {request.topic!r}", field="topic", hint=f"try: {known}")
        return describe()

    @actions.immediate(_define_request("ping", base), verb=Verb())
    def ping(_: CommonServer, __: Request, ___: Connection) -> Members:
        return {"pong": True}

    @actions.immediate(_define_request("health", base), verb=Verb(), usage=[("health, ping", "is everything well?")])
    def show_health(server: CommonServer, _: Request, __: Connection) -> Members:
        return {**server.describe_health(), "version": VERSION, "uptime_s": server.uptime_seconds}

    @actions.immediate(_define_request("metrics", base), verb=Verb(), usage=[("metrics", "the same for Prometheus")])
    def show_metrics(server: CommonServer, _: Request, connection: Connection) -> Members:
        server.check_reader(connection)
        return {"metrics": server.metrics.render_text()}

    @actions.immediate(
        _define_request("quit", base),
        verb=Verb(synonyms=("exit", "salir")),
        usage=[("quit", "ends the connection")],
    )
    def end_connection(_: CommonServer, __: Request, connection: Connection) -> Members:
        connection.finish()
        return {"bye": True}


def _define_request(action: str, base: type[Request], *members: Any) -> type[Request]:
    return cast(type[Request], defstruct(action.title(), members, bases=(base,), tag=action, frozen=True, kw_only=True))
