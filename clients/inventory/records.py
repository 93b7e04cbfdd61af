"""Whoever can ask a persistence server, as the functions of this package see them."""

from typing import TypeVar

from clients.errors import AnswerTimeout, ConnectionLost, Refused
from shared.domain.errors import DeadlineExceeded

T = TypeVar("T")

UNCERTAIN = (AnswerTimeout, ConnectionLost, DeadlineExceeded)
"""What leaves open whether a request was carried out."""


def is_conflict(refusal: Refused) -> bool:
    """Whether a condition of the request did not hold."""
    return refusal.error == "conflict"
