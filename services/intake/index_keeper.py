"""Keeps the index of orders near the newest order, by a process that runs while there is something to index."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

import structlog

from shared.domain.errors import StoreError
from shared.runtime.parent import PARENT_PID
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_index import BLOCK
from shared.stores.sqlite.order_indexer import unindexed_orders

_LOOK_SECONDS = 2.0
_RETRY_SECONDS = 30.0
# Fewer than this are read by lists without an index in some milliseconds.
_ENOUGH_ORDERS = 2 * BLOCK
# In a burst the machine belongs to those who place orders: building beside it cost them a sixth of their rate on two
# cores. Without the index a list looks through this many orders in about a quarter of a second, off the event loop.
_BURST_ORDERS = 10_000
_MOST_ORDERS = 1_000_000


@contextlib.asynccontextmanager
async def keep_index(files: StoreFiles) -> AsyncIterator[None]:
    """Has the index built for as long as the block runs."""
    keeper = asyncio.create_task(_keep(files), name="index")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def _keep(files: StoreFiles) -> None:
    log = structlog.get_logger()
    before = 0
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            unindexed = await asyncio.to_thread(unindexed_orders, files)
            due = is_due(unindexed, unindexed - before)
            before = unindexed
            if not due:
                continue
            reason = await _build(files)
        except (StoreError, OSError) as error:
            reason = str(error)
        if reason is not None:
            # Lists are right without it, and slow.
            log.warning("order_index_failed", reason=reason, retry_s=_RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)


def is_due(unindexed: int, arrived: int) -> bool:
    """Whether the index is to be built now, where so many orders are not in it and so many came since the last look."""
    return unindexed >= _ENOUGH_ORDERS and (arrived < _BURST_ORDERS or unindexed >= _MOST_ORDERS)


async def _build(files: StoreFiles) -> str | None:
    """Runs the process to its end; returns why it failed. It can be killed at any time."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.intake.index_builder",
        str(files.orders),
        env={**os.environ, PARENT_PID: str(os.getpid())},
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        return said.decode(errors="replace").strip()[-500:] or f"status {process.returncode}"
    return None
