"""The rule for record scores, shared by replies, events and notifications."""

from typing import Annotated

from msgspec import Meta

UserId = Annotated[int, Meta(ge=-(10**15), le=10**15)]


def is_record(best: int, before: int | None) -> bool:
    """Whether a best score is higher than the previous best score. A new user starts at 0."""
    return best > (0 if before is None else before)
