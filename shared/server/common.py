"""The actions that every server has."""

import time
from abc import ABC, abstractmethod
from typing import Any, cast

from msgspec import defstruct

from shared import VERSION
from shared.net.connection import Connection
from shared.runtime.metrics import ServerMetrics
from shared.server.actions import ActionRegistry, Members, Request, Verb


class CommonServer(ABC):
    """What the common actions ask of a server; the handlers of its own actions get it as well."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self.metrics = metrics
        self._started = time.monotonic()

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the start, in tenths."""
        return round(time.monotonic() - self._started, 1)

    @abstractmethod
    def describe_health(self) -> Members:
        """Returns the members of the answer to `health` that are the server's own: `status` and what explains it."""

    @abstractmethod
    def describe_help(self, topic: str | None) -> Members:
        """Returns the members of the answer to `help`. Raises InvalidParams for an unknown topic."""


def declare_common(actions: ActionRegistry[Any], base: type[Request] = Request, *, help_topics: bool = False) -> None:
    """Declares the actions of every server, with requests that have the members of `base`."""
    topic = ("topic", str | None, None)
    help_request = _define_request("help", base, *([topic] if help_topics else []))
    help_example = {"topic": "…"} if help_topics else None

    @actions.immediate(help_request, verb=Verb("topic" if help_topics else None), example=help_example)
    def show_help(server: CommonServer, request: Request, _: Connection) -> Members:
        return server.describe_help(getattr(request, "topic", None))

    @actions.immediate(_define_request("ping", base), verb=Verb())
    def ping(_: CommonServer, __: Request, ___: Connection) -> Members:
        return {"pong": True}

    @actions.immediate(_define_request("health", base), verb=Verb(), usage=[("health, ping", "is everything well?")])
    def show_health(server: CommonServer, _: Request, __: Connection) -> Members:
        return {**server.describe_health(), "version": VERSION, "uptime_s": server.uptime_seconds}

    @actions.immediate(_define_request("metrics", base), verb=Verb(), usage=[("metrics", "the same for Prometheus")])
    def show_metrics(server: CommonServer, _: Request, __: Connection) -> Members:
        return {"metrics": server.metrics.exposition()}

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
