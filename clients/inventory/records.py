"""Whoever can ask a persistence server, as the functions of this package see them."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from clients.errors import AnswerTimeout, ConnectionLost, Refused
from clients.persistence import PersistenceClient
from shared.domain.errors import DeadlineExceeded

T = TypeVar("T")

UNCERTAIN = (AnswerTimeout, ConnectionLost, DeadlineExceeded)
"""What leaves open whether a request was carried out."""


class Records(Protocol):
    """Asks questions of a persistence server; raises what `Caller` does, or a kind of it in the asker's own words."""

    def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> Awaitable[T]:
        """What `question` makes of a client."""


class Direct:
    """A client of one's own."""

    def __init__(self, client: PersistenceClient) -> None:
        self._client = client

    def ask(self, question: Callable[[PersistenceClient], Awaitable[T]]) -> Awaitable[T]:
        """See `Records.ask`."""
        return question(self._client)


def is_conflict(refusal: Refused) -> bool:
    """Whether a condition of the request did not hold."""
    return refusal.error == "conflict"
