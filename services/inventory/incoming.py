"""Takes in a file of stock, wherever it comes from: it becomes an import, was one before, or is refused for good."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec

from clients.inventory.upload import Upload
from clients.persistence import PersistenceClient
from shared.domain.errors import Conflict, InvalidParams, RequestError, TooLarge
from shared.wire.replies import failure

PART_BYTES = 1024 * 1024
"""How much of a file is read at a time."""


class Arrival(NamedTuple):
    """What has become of a file. Sent once more, it would become nothing else."""

    id: str
    """The import that it is; of a refused one, that it would have been."""
    known: bool = False
    """Whether it was that import before."""
    problem: dict[str, Any] | None = None
    """Why it was refused, as an answer would say it, with the `report` on its rows."""


async def take_in(
    records: PersistenceClient, parts: AsyncGenerator[bytes, None], *, name: str, source: str, max_bytes: int
) -> Arrival:
    """Feeds a file into an upload, and says what has become of it.

    Raises what `parts` and `records` do, and Conflict where it could not be committed: it can be sent again then.
    """
    upload = Upload(records, name=name, source=source, max_bytes=max_bytes)
    try:
        async with contextlib.aclosing(parts):
            async for part in parts:
                await upload.feed(part)
        await upload.finish()
    except (Conflict, InvalidParams, TooLarge) as refusal:
        return _refused(upload.id, refusal)
    except Exception:
        await upload.drop()
        raise
    return Arrival(upload.id)


def _refused(name: str, refusal: RequestError) -> Arrival:
    problem = msgspec.to_builtins(failure(refusal))
    if not isinstance(refusal, Conflict):
        return Arrival(name, problem=problem)
    earlier = problem.get("report", {}).get("duplicate_of")
    if earlier is None:
        raise refusal
    return Arrival(earlier, known=True)
