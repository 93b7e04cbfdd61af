"""The wall clock."""

import time

from shared.domain.orders import iso_time


def read_clock() -> int:
    """Returns the time in microseconds since 1970."""
    return time.time_ns() // 1000


def iso_now() -> str:
    """Returns the time as ISO 8601 text, in UTC."""
    return iso_time(read_clock())
