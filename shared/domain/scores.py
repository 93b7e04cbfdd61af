"""When a score is a record: one rule for the answer, the events and the notifications."""

from typing import Annotated

from msgspec import Meta

UserId = Annotated[int, Meta(ge=-(10**15), le=10**15)]


def is_record(best: int, before: int | None) -> bool:
    """Whether a best score is higher than the best one before. A user who has none yet starts at 0."""
    return best > (0 if before is None else before)
