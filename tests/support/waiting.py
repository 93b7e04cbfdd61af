"""Waiting for something to become so, which tells nobody when it does."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.intake import LOOK_SECONDS, PATIENCE

T = TypeVar("T")


def until(look: Callable[[], T], is_so: Callable[[T], object]) -> T:
    """Looks until what is seen is so; gives it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if is_so(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(LOOK_SECONDS)
