"""Classes of errors in requests to a persistence server."""

from clients.errors import AnswerTimeout, ConnectionLost, Refused
from shared.domain.errors import DeadlineExceeded

UNCERTAIN = (AnswerTimeout, ConnectionLost, DeadlineExceeded)
"""Errors after which it is unknown whether a request has taken effect."""


def is_conflict(refusal: Refused) -> bool:
    """Whether a condition of the request did not hold."""
    return refusal.error == "conflict"
