"""Deadlines of requests: a server does not process a request after its deadline."""

from msgspec import UNSET, UnsetType

from shared.domain.errors import DeadlineExceeded


def is_late(deadline_ms: int | UnsetType | None, waited: float) -> bool:
    """Whether a request that has waited for `waited` seconds is past its deadline."""
    return deadline_ms is not UNSET and deadline_ms is not None and waited * 1000 > deadline_ms


def too_late() -> DeadlineExceeded:
    """Returns the error for a late request."""
    return DeadlineExceeded(
        "the request waited for longer than its deadline_ms", hint="nothing was done; send it again"
    )
