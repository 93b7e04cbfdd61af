"""When a score is a record: one rule for the answer, the events and the notifications."""


def is_record(best: int, before: int | None) -> bool:
    """Whether a best score is higher than the best one before. A user who has none yet starts at 0."""
    return best > (0 if before is None else before)
