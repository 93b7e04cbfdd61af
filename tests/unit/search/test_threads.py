"""The threads in which tantivy works."""

import asyncio
import threading

import pytest

from shared.domain.errors import Unavailable
from shared.search.tantivy.threads import BoundedThreads


async def test_calls_beyond_the_limit_are_refused_until_one_has_ended() -> None:
    threads, go = BoundedThreads("test", 1, 2), threading.Event()
    running, waiting = (asyncio.create_task(threads.run(go.wait)) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="test"):
        await threads.run(lambda: True)
    running.cancel()
    await asyncio.wait([running])
    with pytest.raises(Unavailable):
        await threads.run(lambda: True)
    go.set()
    assert await waiting
    assert await threads.run(lambda: 7) == 7
    threads.close()
