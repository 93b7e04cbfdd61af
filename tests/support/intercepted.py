"""A client of the persistence server whose calls go through a test first."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from clients.persistence import PersistenceClient
from services.gateway.upstream.backend import GuardedClient


def intercepted(ask: Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]) -> PersistenceClient:
    """Returns a client each of whose calls is handed to `ask`, as a function of the client to call."""
    return cast(PersistenceClient, GuardedClient(ask))
