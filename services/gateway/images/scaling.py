"""Covers from images: each image is scaled by a process of its own (`scaler.py`), and a few of them at once."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from shared.domain.errors import ErrorReason, InvalidParams, Unavailable

_SCALER: Final = Path(__file__).with_name("scaler.py")
_REFUSED: Final = 3
"""Exit status of the scaler for an image that it refuses."""
_LENGTH_BYTES: Final = 4
_TEXT_BYTES: Final = 300
_KEPT_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""The environment of the scaler; it gets no secret of the server."""
_WAITING: Final = 16


class Cover(NamedTuple):
    """A cover in WebP: as pages of books show it, and as lists do."""

    large: bytes
    small: bytes


class CoverScaler:
    """Scales images, `at_once` at a time and each within `seconds`; a few more wait."""

    def __init__(self, *, at_once: int, seconds: float) -> None:
        self._seconds = seconds
        # A process goes on when its client is gone, so threads limit the processes, and not the requests.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="scale")
        self._waiting = 0
        self._limit = at_once + _WAITING
        self._log = structlog.get_logger()

    async def scale(self, image: bytes) -> Cover:
        """Returns the cover of an image. Raises InvalidParams for one that is refused, and Unavailable without room."""
        if self._waiting >= self._limit:
            raise Unavailable(
                "other images are scaled still",
                hint="send it again later; nothing was stored",
                reason=ErrorReason("images_busy"),
            )
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._run_scaler, image)
        work.add_done_callback(self._count_done)
        return await asyncio.shield(work)

    def close(self) -> None:
        """Takes no more images."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count_done(self, work: "asyncio.Future[Cover]") -> None:
        self._waiting -= 1
        if not work.cancelled():
            # A client that is gone does not ask for the error.
            work.exception()

    def _run_scaler(self, image: bytes) -> Cover:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            ended = subprocess.run(  # noqa: S603 -- the image is its input, never a part of the command
                [sys.executable, "-I", str(_SCALER)],
                input=image,
                capture_output=True,
                env=environment,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _refuse(f"it takes longer than {self._seconds:g} s to decode the image") from None
        except OSError as error:
            self._log.warning("cover_scaler_failed", reason=str(error))
            raise Unavailable("images cannot be scaled now", hint="try again later; nothing was stored") from None
        if ended.returncode == _REFUSED:
            raise _refuse(ended.stderr[:_TEXT_BYTES].decode("utf-8", "replace"))
        if ended.returncode:
            # Killed by a limit, or by a fault of a decoder.
            self._log.warning("cover_scaler_ended", status=ended.returncode)
            raise _refuse("the image cannot be decoded")
        length = int.from_bytes(ended.stdout[:_LENGTH_BYTES])
        images = ended.stdout[_LENGTH_BYTES:]
        return Cover(images[:length], images[length:])


def _refuse(message: str) -> InvalidParams:
    return InvalidParams(
        message,
        field="image",
        hint="send a JPEG, PNG or WebP image of at most 16 million pixels",
        reason=ErrorReason("image_invalid"),
    )
