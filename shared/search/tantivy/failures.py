"""Translates what tantivy raises."""

import contextlib
from collections.abc import Iterator

from shared.domain.errors import ComandaError


def is_engine_failure(error: BaseException) -> bool:
    """Whether an error is one of the engine. A panic of its Rust code is no `Exception`, but must not end a process."""
    return isinstance(error, (ValueError, OSError, RuntimeError)) or type(error).__name__ == "PanicException"


@contextlib.contextmanager
def translated(error: ComandaError) -> Iterator[None]:
    """Raises `error` in place of a failure of the engine."""
    try:
        yield
    except ComandaError:
        raise
    except BaseException as failure:
        if is_engine_failure(failure):
            raise error from failure
        raise
