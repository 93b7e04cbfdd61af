"""What the start of the persistence server sets for the whole process."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from services.persistence import __main__ as start
from services.persistence.actions import ACTIONS
from services.persistence.settings import PersistenceSettings
from shared.runtime.state_dump import StateDump
from shared.wire.strict_json import parse_json


@pytest.fixture(autouse=True)
def threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


async def test_garbage_is_seldom_looked_for_while_a_large_document_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look goes through all that is decoded so far: in four mebibytes of brackets that took seconds."""
    document = b'{"action":"set","id":"a","data":{"v":[%s]}}' % b",".join([b"[" * 20 + b"]" * 20] * 10_000)
    looks: list[str] = []

    def count(phase: str, _: object) -> None:
        looks.append(phase)

    @contextlib.asynccontextmanager
    async def decode_large_document(settings: PersistenceSettings, stop: asyncio.Event) -> AsyncIterator[None]:
        gc.callbacks.append(count)
        try:
            parse_json(document)
            ACTIONS.decode(document, "set")
        finally:
            gc.callbacks.remove(count)
        raise KeyError("decoded")
        yield

    monkeypatch.setattr(start, "open_store", decode_large_document)
    with pytest.raises(KeyError, match="decoded"):
        await start._serve(PersistenceSettings(), asyncio.Event(), StateDump())
    assert looks.count("start") < 50
