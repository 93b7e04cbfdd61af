"""Deadlines that come with requests: what nobody waits for any more is not done."""

from msgspec import UNSET, UnsetType

from shared.domain.errors import DeadlineExceeded


def is_late(deadline_ms: int | UnsetType | None, waited: float) -> bool:
    """Whether whoever sent a request has given up on it, after it has waited for so many seconds."""
    return deadline_ms is not UNSET and deadline_ms is not None and waited * 1000 > deadline_ms


def too_late() -> DeadlineExceeded:
    """The answer to a late request, should anybody read it."""
    return DeadlineExceeded(
        "the request waited for longer than its deadline_ms", hint="nothing was done; send it again"
    )
