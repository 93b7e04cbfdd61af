"""Imports a file of stock from any source: it becomes an import, is a duplicate, or is rejected."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec

from clients.inventory.upload import Upload
from clients.persistence import PersistenceClient
from shared.domain.errors import Conflict, InvalidParams, RequestError, TooLarge
from shared.wire.replies import error_reply

CHUNK_BYTES = 1024 * 1024
"""The number of bytes that are read at a time."""


class FileOutcome(NamedTuple):
    """The result of an import; sending the file again would not change it."""

    id: str
    """The id of the import; of a rejected file, the id that was reserved for it."""
    known: bool = False
    """Whether the file had been imported before."""
    problem: dict[str, Any] | None = None
    """The error of a rejected file, as in an answer, with the `report` on its rows."""


async def import_stock_file(
    records: PersistenceClient, chunks: AsyncGenerator[bytes, None], *, name: str, source: str, max_bytes: int
) -> FileOutcome:
    """Uploads a file and returns the outcome.

    Raises the errors of `chunks` and `records`, and Conflict if the import could not be committed: it can be sent
    again.
    """
    upload = Upload(records, name=name, source=source, max_bytes=max_bytes)
    try:
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                await upload.feed(chunk)
        await upload.finish()
    except (Conflict, InvalidParams, TooLarge) as refusal:
        return _rejected_outcome(upload.id, refusal)
    except Exception:
        await upload.drop()
        raise
    return FileOutcome(upload.id)


def _rejected_outcome(name: str, refusal: RequestError) -> FileOutcome:
    problem = msgspec.to_builtins(error_reply(refusal))
    if not isinstance(refusal, Conflict):
        return FileOutcome(name, problem=problem)
    earlier = problem.get("report", {}).get("duplicate_of")
    if earlier is None:
        raise refusal
    return FileOutcome(earlier, known=True)
