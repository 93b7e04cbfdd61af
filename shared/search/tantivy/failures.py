"""Translates what tantivy raises."""

import contextlib
import errno
from collections.abc import Iterator

from shared.domain.errors import ComandaError

_PASSING = (errno.ENOMEM, errno.EACCES, errno.ENFILE, errno.EMFILE, errno.ENOSPC)


def is_engine_failure(error: BaseException) -> bool:
    """Whether an error is one of the engine. A panic of its Rust code is no `Exception`, but must not end a process."""
    return isinstance(error, (ValueError, OSError, RuntimeError)) or type(error).__name__ == "PanicException"


def shows_damage(error: BaseException) -> bool:
    """Whether a failure to read an index means damaged files, and not a lack of memory, rights, or descriptors."""
    return is_engine_failure(error) and not any(f"os error {number})" in str(error) for number in _PASSING)


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
